package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/logwriter"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// TestMain lets the sandbox start this program anew.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	os.Exit(m.Run())
}

// hundredMB prints 100 MB in lines of 100 bytes.
const hundredMB = `line=$(printf '%099d' 0); for ((i = 0; i < 1000000; i++)); do echo "$line"; done`

// BenchmarkStep is what a step costs beside the bare script, round by round in turn:
// a step of a run of this program, sandbox, log and evidence included, and "bash script"
// with its output read and dropped. Medians are reported.
func BenchmarkStep(b *testing.B) {
	if sandbox.Probe().Strongest() != sandbox.LevelFull {
		b.Skip("needs a kernel with Landlock")
	}
	for _, c := range []struct {
		name, script string
		rounds       int
	}{
		{"empty", "true", 40},
		{"prints-100MB", hundredMB, 10},
	} {
		b.Run(c.name, func(b *testing.B) {
			bench := newStepBench(b, c.script)
			for b.Loop() {
				var bare, step []float64
				for range c.rounds {
					bare = append(bare, bench.bare(b))
					step = append(step, bench.step(b))
				}
				slices.Sort(bare)
				slices.Sort(step)
				alone, inside := bare[len(bare)/2], step[len(step)/2]
				b.ReportMetric(alone, "bare-ms")
				b.ReportMetric(inside, "step-ms")
				b.ReportMetric(inside-alone, "more-ms")
				b.ReportMetric(100*(inside-alone)/alone, "more-%")
			}
		})
	}
}

// stepBench runs one script in both ways.
type stepBench struct {
	script   string // path
	executor *executor.Executor
	upload   func(name string) (etag string)
	count    int
}

func newStepBench(b *testing.B, script string) *stepBench {
	b.Helper()
	dir := testkit.TempDir(b)
	s := &stepBench{script: filepath.Join(dir, "script.sh")}
	if err := os.WriteFile(s.script, []byte(script), 0o600); err != nil {
		b.Fatal(err)
	}
	bucket := func(name string) store.Bucket {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			b.Fatal(err)
		}
		folder, err := store.OpenFolder(path)
		if err != nil {
			b.Fatal(err)
		}
		return folder
	}
	packages := bucket("packages")
	zip := testkit.Zip(b, map[string]string{
		"manifest.json": `{"name":"bench","version":"1.0.0","type":"extension","idempotent":true}`,
		"steps/run.sh":  script,
	})
	s.upload = func(name string) string {
		info, err := packages.Put(b.Context(), name, bytes.NewReader(zip), int64(len(zip)), store.PutOptions{})
		if err != nil {
			b.Fatal(err)
		}
		return info.ETag
	}
	log := logwriter.New(io.Discard)
	s.executor = executor.New(executor.Config{
		Packages: packages, Results: bucket("results"), State: bucket("state"),
		Namespace:   func(context.Context) (string, error) { return "", nil },
		Environment: "bench", WorkDir: filepath.Join(dir, "work"), KeepPackages: true, Reserve: time.Second,
		Limits:  executor.DefaultLimits(),
		Sandbox: sandbox.LevelFull, Output: executor.OutputAll, Log: slog.New(slog.NewJSONHandler(log, nil)),
		LogWriter: log,
	})
	return s
}

// bare runs the script with bash and returns the milliseconds it took.
func (s *stepBench) bare(b *testing.B) float64 {
	b.Helper()
	cmd := exec.Command("bash", s.script)
	cmd.Stdout = struct{ io.Writer }{io.Discard} // read by this process, through a pipe
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return float64(time.Since(start).Microseconds()) / 1000
}

// step runs the package and returns what its steps took, by the stages of the run.
func (s *stepBench) step(b *testing.B) float64 {
	b.Helper()
	s.count++ // runs of one object in the same second are one
	name := fmt.Sprintf("bench-%d.zip", s.count)
	results, err := s.executor.Run(b.Context(), executor.Request{
		Bucket: "packages", Object: name, ETag: s.upload(name), Trigger: executor.Trigger{Kind: executor.TriggerCLI},
	})
	result := results[0]
	if err != nil || result.Status != evidence.StatusSuccess {
		b.Fatalf("%s %s %v", result.Status, result.Message, err)
	}
	return float64(result.Steps[0].End.Sub(*result.Steps[0].Start).Microseconds()) / 1000
}
