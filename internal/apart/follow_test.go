package apart_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// mailboxes is a jobs bucket in memory.
type mailboxes struct {
	store.Bucket
	objects map[string][]byte
	behind  time.Duration // its clock
	dead    func(op, name string) bool
}

var errDead = store.Error(store.ErrUnavailable, "reach", "jobs", "", errors.New("503"))

func (*mailboxes) Name() string { return "jobs" }

func (m *mailboxes) Put(
	_ context.Context, name string, body io.ReadSeeker, _ int64, o store.PutOptions,
) (store.Info, error) {
	if m.dead("put", name) {
		return store.Info{}, errDead
	}
	if o.IfNoneMatch && m.objects[name] != nil {
		return store.Info{}, store.Error(store.ErrExists, "put", "jobs", name, nil)
	}
	doc, err := io.ReadAll(body)
	m.objects[name] = doc
	return store.Info{Created: time.Now().Add(-m.behind).Truncate(time.Second)}, err
}

func (m *mailboxes) Get(_ context.Context, name string, _ store.GetOptions) (io.ReadCloser, store.Info, error) {
	if m.dead("get", name) {
		return nil, store.Info{}, errDead
	}
	doc, ok := m.objects[name]
	if !ok {
		return nil, store.Info{}, store.Error(store.ErrNotFound, "get", "jobs", name, nil)
	}
	return io.NopCloser(bytes.NewReader(doc)), store.Info{Size: int64(len(doc))}, nil
}

var jobID, prefix = strings.Repeat("a", 32), strings.Repeat("b", 32) + "/"

// attend goes on with a job of two steps until it returns, and says how long that took. The job ends after 10 s.
func attend(t *testing.T, m *mailboxes, begun bool) (o steps.Outcome, took time.Duration, err error) {
	t.Helper()
	m.objects = map[string][]byte{}
	if m.dead == nil {
		m.dead = func(string, string) bool { return false }
	}
	desk := &apart.Desk{Jobs: m, Clock: func() time.Time { return time.Now().UTC() }, Log: slog.New(slog.DiscardHandler)}
	plan, _ := json.Marshal(jobs.Job{Job: jobID, OnFailure: jobs.OnFailureStop, Plan: []jobs.Step{
		{N: 1, Name: "one", Phase: "run", Do: jobs.DoRun}, {N: 2, Name: "two", Phase: "run", Do: jobs.DoRun},
	}})
	if begun {
		doc, err := jobs.Begun{Job: jobID, By: jobs.ByRunner, Nonce: jobID, At: time.Now().UTC()}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		m.objects[prefix+jobs.MailBegun] = doc
	}
	place, job, err := desk.Adopt(claim.Apart{
		Job: jobID, Prefix: prefix, Asked: time.Now(), KillAt: time.Now().Add(10 * time.Second), Plan: plan,
	}, redact.New(nil), false)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	o, err = place.Attend(t.Context(), job, steps.Journal{
		Begins: func(context.Context, steps.Beginning) error { return nil }, Ended: func(evidence.Step, steps.Log) {},
	})
	return o, time.Since(start), err
}

// A job of which nothing is heard ends when its time is over by the store's clock, which its runner goes by. Then any
// of its steps may have begun.
func TestEndIsByTheStoresClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, took, err := attend(t, &mailboxes{behind: 7 * time.Second}, true)
		if problem.CodeOf(err) != "step.interrupted" || took < 17*time.Second {
			t.Errorf("after %s: %v", took, err)
		}
		for _, s := range o.Steps {
			if s.Status != evidence.StepInterrupted {
				t.Errorf("the step %s is %s", s.Name, s.Status)
			}
		}
	})
}

// This machine's clock may be quite wrong: others end the run then.
func TestEndByAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, _, err := attend(t, &mailboxes{behind: time.Hour}, true); !errors.Is(err, apart.ErrLeft) {
			t.Error(err)
		}
	})
}

// A mailbox that cannot be read at the end may have an outcome: the run is left to others.
func TestUnreadableAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailboxes{dead: func(op, _ string) bool { return op == "get" }}
		if _, _, err := attend(t, m, true); !errors.Is(err, apart.ErrLeft) {
			t.Error(err)
		}
	})
}

// A job that nobody has begun is withdrawn at its end, with a reason for which it is tried again.
func TestNobodyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := attend(t, &mailboxes{}, false)
		if !errors.Is(err, apart.ErrWithdrawn) || problem.CodeOf(err) != "runner.unavailable" {
			t.Error(err)
		}
	})
}
