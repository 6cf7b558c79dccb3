package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// keptLog is a log, or what belongs to one, that is not in the results bucket yet.
type keptLog struct {
	object string
	file   io.ReadSeekCloser
	size   int64
	kind   string // of its content
}

// storing is what is stored beside the steps. A step's end is noted in the claim before anything waits for
// its log.
type storing struct {
	sync.WaitGroup
	mu sync.Mutex // of the list of evidence, and of the logs that are kept
}

// list notes an object as evidence.
func (r *run) list(o evidence.Object) {
	r.storing.mu.Lock()
	defer r.storing.mu.Unlock()
	r.result.List(o)
}

// keepLog stores a step's log and its times at once, so that they survive the function. What fails
// is tried again at the end of the run: a store that hiccups must not stop a change
// half way.
func (r *run) keepLog(ctx context.Context, log steps.Log, step string) {
	size, err := log.File.Seek(0, io.SeekEnd)
	if err != nil {
		r.log.Error("cannot read the log", "step", step, "error", err.Error())
	}
	var all sync.WaitGroup
	for _, kept := range append(r.timesOf(log), keptLog{log.Name, log.File, size, "text/plain; charset=utf-8"}) {
		all.Go(func() {
			ctx, cancel := r.part(context.WithoutCancel(ctx))
			defer cancel()
			if err := r.storeLog(ctx, kept); err != nil {
				r.log.Warn("log not stored yet", "step", step, "object", kept.object, "error", err.Error())
				r.storing.mu.Lock()
				defer r.storing.mu.Unlock()
				r.kept = append(r.kept, kept)
			}
		})
	}
	all.Wait()
}

// timesOf is the document beside the log that says when what is in it came.
func (r *run) timesOf(log steps.Log) []keptLog {
	doc, err := log.Times.Encode()
	if err != nil {
		r.log.Error("cannot encode the times of a log", "log", log.Name, "error", err.Error())
		return nil
	}
	return []keptLog{{strings.TrimSuffix(log.Name, ".log") + ".times.json", inMemory{bytes.NewReader(doc)}, int64(len(doc)), "application/json"}}
}

// inMemory is a document that needs not be closed.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (r *run) storeLog(ctx context.Context, log keptLog) error {
	if _, err := log.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if err := r.put(ctx, log.object, log.file, log.size, log.kind); err != nil && !r.isStored(ctx, log, err) {
		return err
	}
	return log.file.Close()
}

// part bounds one request: it may take a part of the time that is left, so that one that stalls does not
// cost the others theirs.
func (r *run) part(ctx context.Context) (context.Context, context.CancelFunc) {
	end := r.hard
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	left := r.Reserve
	if !end.IsZero() {
		left = time.Until(end)
	}
	return context.WithTimeout(ctx, max(left/4, 2*time.Second))
}

// persist does what stores something, again and again while the store is out of reach and time is left;
// another failure that may pass is given a few tries.
func (r *run) persist(ctx context.Context, store func(context.Context) error) error {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := r.tried(ctx, store)
		if err == nil || !retryable(err) || try >= creations && !isOutage(err) || !wait(ctx, pause) {
			return err
		}
		pause = min(2*pause, 3*time.Second)
	}
}

func (r *run) tried(ctx context.Context, store func(context.Context) error) error {
	ctx, cancel := r.part(ctx)
	defer cancel()
	return store(ctx)
}

func isOutage(err error) bool { return errors.Is(err, store.ErrUnavailable) }

// isStored reports whether a log is in the bucket after all: the answer to the first try may have
// been lost.
func (r *run) isStored(ctx context.Context, log keptLog, err error) bool {
	if !errors.Is(err, store.ErrExists) {
		return false
	}
	body, info, err := r.Results.Get(ctx, evidence.Dir(r.runID())+log.object, store.GetOptions{})
	if err != nil {
		return false
	}
	defer body.Close()
	if _, err := log.file.Seek(0, io.SeekStart); err != nil || info.Size != log.size {
		return false
	}
	ours, theirs := sha256.New(), sha256.New()
	_, err = io.Copy(ours, io.LimitReader(log.file, log.size))
	_, err2 := io.Copy(theirs, body)
	if errors.Join(err, err2) != nil || hexSum(ours) != hexSum(theirs) {
		return false
	}
	r.list(evidence.Object{Object: evidence.Dir(r.runID()) + log.object, Size: log.size, SHA256: hexSum(ours)})
	return true
}

// put creates one object of the run's evidence, from the beginning of body, and lists it.
func (r *run) put(ctx context.Context, name string, body io.ReadSeeker, size int64, contentType string) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(body, size)); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	object := evidence.Object{Object: evidence.Dir(r.runID()) + name, Size: size, SHA256: hexSum(sum)}
	_, err := r.Results.Put(ctx, object.Object, body, size, store.PutOptions{IfNoneMatch: true, ContentType: contentType})
	if err == nil {
		r.list(object)
	}
	return err
}

// found lists what is there under a name already: an earlier try has stored it, or this one, whose answer
// was lost.
func (r *run) found(ctx context.Context, name string) error {
	object, err := r.described(ctx, evidence.Dir(r.runID())+name)
	if err == nil {
		r.list(object)
	}
	return err
}

// described reads an object of the results bucket for its size and digest.
func (e *Config) described(ctx context.Context, object string) (evidence.Object, error) {
	body, _, err := e.Results.Get(ctx, object, store.GetOptions{})
	if err != nil {
		return evidence.Object{}, err
	}
	defer body.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, body)
	if err != nil {
		return evidence.Object{}, unread(e.Results.Name(), object, err)
	}
	return evidence.Object{Object: object, Size: size, SHA256: hexSum(sum)}, nil
}

// creations is how often something is stored again that the store refuses, as that may pass.
const creations = 3

// create creates one document of the evidence. One whose answer was lost is found there, and is no
// conflict.
func (r *run) create(ctx context.Context, name string, doc []byte, contentType string) error {
	return r.persist(ctx, func(ctx context.Context) error {
		err := r.put(ctx, name, bytes.NewReader(doc), int64(len(doc)), contentType)
		if err != nil && r.isThere(ctx, name, doc) {
			r.list(evidence.Object{Object: evidence.Dir(r.runID()) + name, Size: int64(len(doc)), SHA256: sum(doc)})
			return nil
		}
		return err
	})
}

// wait waits; false if there is no time for that.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (r *run) isThere(ctx context.Context, name string, doc []byte) bool {
	body, info, err := r.Results.Get(ctx, evidence.Dir(r.runID())+name, store.GetOptions{})
	if err != nil {
		return false
	}
	defer body.Close()
	stored, err := io.ReadAll(io.LimitReader(body, int64(len(doc))+1))
	return err == nil && info.Size == int64(len(doc)) && bytes.Equal(stored, doc)
}
