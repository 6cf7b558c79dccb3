package executor_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/store"
)

// endless is a jobs bucket in which some objects have no end.
type endless struct {
	store.Bucket
	of   func(name string) bool
	read *atomic.Int64
}

func (e endless) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	body, info, err := e.Bucket.Get(ctx, name, o)
	if err != nil || !e.of(name) {
		return body, info, err
	}
	_ = body.Close()
	info.Size = 10 << 30
	return io.NopCloser(zeros{e.read}), info, nil
}

// zeros are bytes without an end, counted.
type zeros struct{ read *atomic.Int64 }

func (z zeros) Read(p []byte) (int, error) {
	clear(p)
	z.read.Add(int64(len(p)))
	return len(p), nil
}

// Of an outcome of 10 GB no more is read than one may have, and of logs and artifacts nothing.
func TestObjectsWithoutEnd(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]struct {
		of   string
		want evidence.Status
		most int64
	}{
		"outcome":  {jobs.MailOutcome, evidence.StatusInterrupted, jobs.MaxOutcome + 4<<10},
		"progress": {jobs.MailProgress, evidence.StatusSuccess, 3 * (jobs.MaxOutcome + 4<<10)}, // each time anew
		"log":      {"/" + jobs.MailLogs + "1", evidence.StatusSuccess, 0},
		"artifact": {jobs.MailArtifacts, evidence.StatusSuccess, 0},
	}, func(t *testing.T, c struct {
		of   string
		want evidence.Status
		most int64
	},
	) {
		var read atomic.Int64
		b, r := forged(t, func(f *forger) ([]byte, error) {
			f.sees(endless{f.o.jobs, func(name string) bool { return strings.Contains(name, c.of) }, &read})
			f.begins(f.job.Job)
			f.progresses()
			o := f.lies()
			f.put(jobs.MailArtifacts+"1", []byte("x"))
			o.Artifacts = []jobs.Artifact{{N: 1, Name: "a", Size: 1, SHA256: digestOf("x")}}
			return f.stores(f.encode(o))
		})
		if r.Status != c.want || read.Load() > c.most {
			t.Errorf("status %s, %s, %d bytes were read; want %s, and at most %d\n%s", r.Status, r.Message, read.Load(), c.want, c.most, b.log)
		}
		if c.want == evidence.StatusSuccess && r.Steps[0].Truncated != (c.of == "/logs/1") ||
			c.of == jobs.MailArtifacts && r.Artifacts[0].Withheld == "" {
			t.Errorf("steps %+v, artifacts %+v", r.Steps, r.Artifacts)
		}
	})
}
