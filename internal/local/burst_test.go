package local_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// requests counts the function's requests to each bucket.
type requests struct {
	slog.Handler
	mu      sync.Mutex
	buckets map[string]int
}

func (r *requests) Enabled(context.Context, slog.Level) bool { return true }

func (r *requests) Handle(_ context.Context, record slog.Record) error {
	if record.Message != "request" {
		return nil
	}
	function, bucket := "", ""
	record.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "function":
			function = a.Value.String()
		case "bucket":
			bucket = a.Value.String()
		}
		return true
	})
	if function != "" {
		r.mu.Lock()
		r.buckets[bucket]++
		r.mu.Unlock()
	}
	return nil
}

// take returns how many requests to a bucket there were since the last call.
func (r *requests) take(bucket string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.buckets[bucket]
	r.buckets[bucket] = 0
	return n
}

// crowd is a local OCI with several instances of the function.
type crowd struct {
	*cloud
	ended    chan time.Time
	requests *requests
}

func newCrowd(t testing.TB, instances int) *crowd {
	t.Helper()
	binary, err := function()
	if err != nil {
		t.Fatal(err)
	}
	const many = 20_000
	c := &crowd{
		cloud:    &cloud{t: t, answers: make(chan answer, many), log: &testkit.Buffer{}},
		ended:    make(chan time.Time, many),
		requests: &requests{Handler: slog.DiscardHandler, buckets: map[string]int{}},
	}
	stack, err := local.Start(local.Options{
		Dir: t.TempDir(), Binary: binary, Instances: instances, MemoryMB: 512, Timeout: time.Minute,
		Settings: map[string]string{"CEMLI_LOG_OUTPUT": "none"}, FunctionLog: c.log, Log: slog.New(c.requests),
		Answered: func(a fnhost.Answer, err error) { c.ended <- time.Now(); c.answered(a, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Close() }) // what it measured counts
	c.Stack = stack
	return c
}

// burst uploads many packages at once, and waits until all have ended. It returns how long each took from its upload
// to its result.
func (c *crowd) burst(name string, packages int) (total time.Duration, each []time.Duration) {
	t := c.t
	t.Helper()
	bodies := make([][]byte, packages)
	for i := range bodies {
		bodies[i] = testkit.Zip(t, map[string]string{
			"manifest.json": fmt.Sprintf(`{"name":"%s-%d","version":"1.0.0","type":"extension"}`, name, i),
			"steps/run.sh":  "echo hello",
		})
	}
	bucket := c.packages()
	start := time.Now()
	var uploads sync.WaitGroup
	next := make(chan int)
	for range 8 {
		uploads.Go(func() {
			for i := range next {
				_, err := bucket.Put(context.Background(), fmt.Sprintf("%s-%d-1.0.0.zip", name, i),
					bytes.NewReader(bodies[i]), int64(len(bodies[i])), store.PutOptions{})
				if err != nil {
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
		each = append(each, (<-c.ended).Sub(start))
	}
	return time.Since(start), each
}

func TestBurst(t *testing.T) {
	const packages = 1000
	if _, each := newCrowd(t, 4).burst("burst", packages); len(each) != packages {
		t.Errorf("%d results; want %d", len(each), packages)
	}
}

// BenchmarkBurst compares 1,000 uploads at once, for four instances, with running their scripts alone, four at a
// time.
func BenchmarkBurst(b *testing.B) {
	const packages, instances = 1000, 4
	for b.Loop() {
		total, each := newCrowd(b, instances).burst("burst", packages)
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

// remember stores the documents that so many runs leave.
func (c *crowd) remember(runs int) {
	next := make(chan int)
	var all sync.WaitGroup
	put := func(bucket, name, text string) {
		_, err := c.Person().Bucket(bucket).Put(context.Background(), name, strings.NewReader(text), int64(len(text)),
			store.PutOptions{})
		if err != nil {
			c.t.Error(err)
		}
	}
	for range 8 {
		all.Go(func() {
			for n := range next {
				put(c.Buckets().State, fmt.Sprintf("claims/local/%064x.json", n), `{"schema_version":1,"state":"done"}`)
				put(c.Buckets().State, fmt.Sprintf("packages/local/earlier-%d.json", n), `{"schema_version":1}`)
				put(c.Buckets().State, fmt.Sprintf("groups/local/earlier-%d.json", n), `{"schema_version":1}`)
				put(c.Buckets().Results, fmt.Sprintf("runs/20200101T000000Z-earlier-%012x/result.json", n),
					`{"schema_version":1}`)
			}
		})
	}
	for n := range runs {
		next <- n
	}
	close(next)
	all.Wait()
}

var (
	historyFirst   = flag.Int("history.first", 2000, "uploads with nothing before them")
	historyEarlier = flag.Int("history.earlier", 10_000, "runs whose documents are there for the later ones")
	historyLater   = flag.Int("history.later", 500, "uploads after that")
)

// BenchmarkHistory uploads packages at once for eight instances, with empty buckets, and with what many runs leave:
// how many per second, and how many requests a run sends to the state bucket.
func BenchmarkHistory(b *testing.B) {
	packages, later := *historyFirst, *historyLater
	for b.Loop() {
		c := newCrowd(b, 8)
		state := c.Buckets().State
		took, _ := c.burst("first", packages)
		b.ReportMetric(float64(packages)/took.Seconds(), "first-packages/s")
		b.ReportMetric(float64(c.requests.take(state))/float64(packages), "first-requests/run")
		c.remember(*historyEarlier)
		c.requests.take(state)
		took, _ = c.burst("later", later)
		b.ReportMetric(float64(later)/took.Seconds(), "later-packages/s")
		b.ReportMetric(float64(c.requests.take(state))/float64(later), "later-requests/run")
	}
	b.ReportMetric(0, "ns/op")
}
