package local_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// burst uploads many packages at once to a local OCI with several instances, and waits
// until all have ended. It returns how long each took from its upload to its result.
func burst(t testing.TB, packages, instances int) (total time.Duration, each []time.Duration) {
	t.Helper()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, answers: make(chan answer, packages+10), log: &testkit.Buffer{}}
	ended := make(chan time.Time, packages+10)
	stack, err := local.Start(local.Options{
		Dir: t.TempDir(), Binary: binary, Instances: instances, MemoryMB: 512, Timeout: time.Minute,
		Settings: map[string]string{"CEMLI_LOG_OUTPUT": "none"}, FunctionLog: c.log, Log: slog.New(slog.DiscardHandler),
		Answered: func(a fnhost.Answer, err error) { ended <- time.Now(); c.answered(a, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	c.Stack = stack
	bodies := make([][]byte, packages)
	for i := range bodies {
		bodies[i] = testkit.Zip(t, map[string]string{
			"manifest.json": fmt.Sprintf(`{"name":"burst-%d","version":"1.0.0","type":"extension"}`, i), "steps/run.sh": "echo hello",
		})
	}
	bucket := c.packages()
	start := time.Now()
	var uploads sync.WaitGroup
	next := make(chan int)
	for range 8 {
		uploads.Go(func() {
			for i := range next {
				if _, err := bucket.Put(context.Background(), fmt.Sprintf("burst-%d-1.0.0.zip", i), bytes.NewReader(bodies[i]), int64(len(bodies[i])), store.PutOptions{}); err != nil {
					t.Errorf("upload %d: %v", i, err)
				}
			}
		})
	}
	for i := range bodies {
		next <- i
	}
	close(next)
	uploads.Wait()
	seen := map[string]bool{}
	for len(seen) < packages && !t.Failed() {
		a := c.answer()
		if a.err != nil || a.Status != "success" {
			t.Errorf("an invocation ended %s %s, %v", a.Status, a.Message, a.err)
		}
		seen[a.Result.Object] = true
		each = append(each, (<-ended).Sub(start))
	}
	return time.Since(start), each
}

func TestBurst(t *testing.T) {
	const packages = 1000
	if _, each := burst(t, packages, 4); len(each) != packages {
		t.Errorf("%d results; want %d", len(each), packages)
	}
}

// BenchmarkBurst is 1,000 uploads at once to four instances, beside the bare cost of
// their scripts, four at a time.
func BenchmarkBurst(b *testing.B) {
	const packages, instances = 1000, 4
	for b.Loop() {
		total, each := burst(b, packages, instances)
		slices.Sort(each)
		b.ReportMetric(float64(packages)/total.Seconds(), "packages/s")
		b.ReportMetric(float64(each[len(each)/2].Milliseconds()), "median-ms")
		b.ReportMetric(float64(each[len(each)*99/100].Milliseconds()), "p99-ms")
	}
	start := time.Now()
	var all sync.WaitGroup
	for range instances {
		all.Go(func() {
			for range packages / instances {
				if err := exec.Command("bash", "-c", "echo hello").Run(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(packages)/time.Since(start).Seconds(), "bare-scripts/s")
	b.ReportMetric(0, "ns/op")
}
