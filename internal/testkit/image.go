package testkit

import (
	"archive/tar"
	"bytes"
	"os"
	"path"
	"testing"
)

// EmptyImage is the root file system of a container image, as a tar, that has nothing but
// places: for this machine's /usr and /etc, for a program, and for what an engine mounts.
func EmptyImage(t testing.TB, program string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header) {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"usr", "etc", "tmp", "proc", "dev", "sys", path.Dir(program)} {
		// the engine gives /tmp the mode it has here
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o1777})
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: program, Mode: 0o755})
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if target, err := os.Readlink("/" + dir); err == nil {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: dir, Linkname: target, Mode: 0o777})
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
