package bundle_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"testing/fstest"

	"cemli-executor/internal/bundle"
)

// large is a tree of 7,000 files and 200 MB, half of it text.
func large() fstest.MapFS {
	const files, bytes = 7000, 200_000_000
	folder := fstest.MapFS{"manifest.json": {Data: []byte("{}")}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range files - 1 {
		content := make([]byte, 0, bytes/files)
		for len(content)+24 < cap(content) {
			content = strconv.AppendUint(append(content, "insert into t values ("...), random.Uint64()>>(8*(i%8)), 10)
			content = append(content, ");\n"...)
			if i%2 == 0 {
				for range 16 {
					content = append(content, byte(random.Uint32()))
				}
			}
		}
		folder[fmt.Sprintf("artifacts/%d/module%d/file%d.sql", i%10, i%100, i)] = &fstest.MapFile{Data: content}
	}
	return folder
}

// memoryDir is a folder in memory where there is such a thing.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bundle")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// BenchmarkExtract extracts the large tree, and has other tools do so for comparison.
func BenchmarkExtract(b *testing.B) {
	dir := memoryDir(b)
	path := filepath.Join(dir, "large.zip")
	var zip bytes.Buffer
	if _, err := bundle.Create(&zip, large()); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, zip.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(name string, extract func(to string) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(200_000_000)
			for b.Loop() {
				to, err := os.MkdirTemp(dir, "to")
				if err == nil {
					err = extract(to)
				}
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = os.RemoveAll(to)
				b.StartTimer()
			}
		})
	}
	run("bundle", func(to string) error { return extractFile(b, path, to) })
	for _, tool := range [][]string{{"unzip", "-q", path, "-d"}, {"bsdtar", "-xf", path, "-C"}} {
		if _, err := exec.LookPath(tool[0]); err == nil {
			run(tool[0], func(to string) error { return exec.Command(tool[0], append(tool[1:], to)...).Run() })
		}
	}
}

// extractFile checks and extracts, as a run does.
func extractFile(b *testing.B, path, to string) error {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	archive, err := bundle.Check(f, info.Size(), bundle.DefaultLimits())
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = archive.Extract(b.Context(), root)
	return err
}

// BenchmarkCheck reads the headers of the large tree.
func BenchmarkCheck(b *testing.B) {
	var zip bytes.Buffer
	if _, err := bundle.Create(&zip, large()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bundle.Check(bytes.NewReader(zip.Bytes()), int64(zip.Len()), bundle.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate packs the large tree.
func BenchmarkCreate(b *testing.B) {
	folder := large()
	b.SetBytes(200_000_000)
	for b.Loop() {
		if _, err := bundle.Create(&bytes.Buffer{}, folder); err != nil {
			b.Fatal(err)
		}
	}
}
