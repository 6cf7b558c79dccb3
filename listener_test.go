package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/testkit"
)

// The socket, its link and their folder are afterwards what they were before a call, or there is a doubt.
func TestTheSocketIsAsItWas(t *testing.T) {
	hidden := func(dir string) string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), "lsnr.sock") {
				return filepath.Join(dir, e.Name())
			}
		}
		t.Fatal("the socket is not hidden")
		return ""
	}
	for _, c := range []struct {
		name   string
		attack func(dir string) error
		doubt  string // empty: there is none
		calls  bool   // the function can be called afterwards
	}{
		{"nothing", func(string) error { return nil }, "", true},
		{"closed", func(dir string) error { return os.Chmod(dir, 0o500) }, "", true},
		{"removed", func(dir string) error { return os.Remove(hidden(dir)) }, "socket was removed or replaced", false},
		{"replaced", func(dir string) error {
			path := hidden(dir)
			return firstError(os.Remove(path), os.WriteFile(path, nil, 0o600))
		}, "socket was removed or replaced", false},
		{"in its place", func(dir string) error { return os.WriteFile(filepath.Join(dir, "phonylsnr.sock"), nil, 0o600) }, "there is another", true},
		{"link removed", func(dir string) error { return os.Remove(filepath.Join(dir, "lsnr.sock")) }, "no longer the link", false},
		{"link replaced", func(dir string) error {
			path := filepath.Join(dir, "lsnr.sock")
			return firstError(os.Remove(path), os.Symlink("elsewhere", path))
		}, "no longer the link", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(testkit.TempDir(t), "iofs")
			path := filepath.Join(dir, "lsnr.sock")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			socket, err := net.Listen("unix", filepath.Join(dir, "phonylsnr.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			if err := os.Symlink("phonylsnr.sock", path); err != nil {
				t.Fatal(err)
			}
			l := newListener(func(name string) string { return map[string]string{"FN_LISTENER": "unix:" + path}[name] }, t.TempDir(), slog.New(slog.DiscardHandler))
			var doubts []string
			show := l.hide(func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) })
			if err := c.attack(dir); err != nil {
				t.Fatal(err)
			}
			show()
			if got := strings.Join(doubts, "; "); (got == "") != (c.doubt == "") || !strings.Contains(got, c.doubt) {
				t.Errorf("doubts %q; want %q", got, c.doubt)
			}
			conn, err := net.Dial("unix", path)
			if (err == nil) != c.calls {
				t.Errorf("a call: %v", err)
			}
			if err == nil {
				_ = conn.Close()
			}
		})
	}
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
