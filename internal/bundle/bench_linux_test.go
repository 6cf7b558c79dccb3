package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

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

// memoryDir is a folder in memory, if the system has one.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "bundle")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestMain is also the process that BenchmarkExtract measures.
func TestMain(m *testing.M) {
	if to := os.Getenv("BUNDLE_EXTRACT_TO"); to != "" {
		if err := extractFile(context.Background(), os.Getenv("BUNDLE_EXTRACT"), to); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			panic(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Println(strings.Fields(peak)[0]) // KB
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// BenchmarkExtract compares extracting 200 MB in 7,000 files, including digests, with Info-ZIP unzip and bsdtar,
// which compute none: each is a process of its own, in turn, ten times, in memory. It reports the medians, and our
// peak memory.
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
	competitors := map[string]func(to string) *exec.Cmd{
		"bundle": func(to string) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "BUNDLE_EXTRACT="+path, "BUNDLE_EXTRACT_TO="+to)
			return cmd
		},
		"unzip":  func(to string) *exec.Cmd { return exec.Command("unzip", "-q", path, "-d", to) },
		"bsdtar": func(to string) *exec.Cmd { return exec.Command("bsdtar", "-xf", path, "-C", to) },
	}
	const rounds = 10
	times, peak := map[string][]time.Duration{}, 0
	for b.Loop() {
		clear(times)
		for range rounds {
			for name, command := range competitors {
				taken, output, err := measure(dir, command)
				if errors.Is(err, exec.ErrNotFound) {
					b.Logf("NOT MEASURED: %s is not there", name)
					delete(competitors, name)
					continue
				}
				if err != nil {
					b.Fatalf("%s: %v", name, err)
				}
				times[name] = append(times[name], taken)
				if kb, err := strconv.Atoi(strings.TrimSpace(output)); err == nil {
					peak = max(peak, kb)
				}
			}
		}
	}
	b.ReportMetric(float64(peak)/1024, "bundle-peak-MB")
	b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
	for name := range competitors {
		slices.Sort(times[name])
		b.ReportMetric(float64(times[name][rounds/2].Milliseconds()), name+"-ms")
	}
}

// measure runs a command that extracts to a new folder, and returns its time and output.
func measure(dir string, command func(to string) *exec.Cmd) (time.Duration, string, error) {
	to, err := os.MkdirTemp(dir, "to")
	if err != nil {
		return 0, "", err
	}
	defer os.RemoveAll(to)
	cmd := command(to)
	cmd.Stderr = os.Stderr
	start := time.Now()
	output, err := cmd.Output()
	return time.Since(start), string(output), err
}

// extractFile checks and extracts, as a run does.
func extractFile(ctx context.Context, path, to string) error {
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
	_, err = archive.Extract(ctx, root)
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
