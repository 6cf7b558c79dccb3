package executor

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/results"
	"cemli-executor/internal/steps"
)

// document is a document of the run's evidence.
func (r *report) document(name, contentType string, body io.ReadSeeker, size int64) results.Document {
	return results.Document{Object: evidence.Dir(r.result.RunID) + name, Type: contentType, Body: body, Size: size}
}

// create creates one document of the evidence.
func (r *report) create(ctx context.Context, name string, doc []byte, contentType string) error {
	return r.stored.Insist(ctx, r.document(name, contentType, bytes.NewReader(doc), int64(len(doc))))
}

// keepLog stores a step's log and its times at once, so that they survive the function.
func (r *report) keepLog(ctx context.Context, log steps.Log, step string) {
	size, err := log.File.Seek(0, io.SeekEnd)
	if err != nil {
		r.log.Error("cannot read the log", "step", step, "error", err.Error())
	}
	r.keepBeside(ctx, step, r.document(log.Name, "text/plain; charset=utf-8", log.File, size))
	times, err := log.Times.Encode()
	if err != nil {
		r.log.Error("cannot encode the times of a log", "log", log.Name, "error", err.Error())
		return
	}
	name := strings.TrimSuffix(log.Name, ".log") + ".times.json"
	r.keepBeside(ctx, step, r.document(name, "application/json", bytes.NewReader(times), int64(len(times))))
}

func (r *report) keepBeside(ctx context.Context, step string, d results.Document) {
	r.stored.Beside(ctx, d, func(err error) {
		r.log.Warn("log not stored yet", "step", step, "object", d.Object, "error", err.Error())
	})
}

// part bounds one request: it may take a part of the time that is left.
func (r *asked) part(ctx context.Context) (context.Context, context.CancelFunc) {
	end := r.hard
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	left := r.exec.Reserve
	if !end.IsZero() {
		left = time.Until(end)
	}
	return context.WithTimeout(ctx, max(left/4, 2*time.Second))
}
