package executor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/apart"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/runner"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// post is what goes between executors and runners: calls, which come late, twice or never, and mailboxes.
type post struct {
	boxes []*simBox
	jobs  map[string]*simJob

	calls, doubled, late, withdrawn, refused, lost, lateOutcomes, left, kills int
}

// simBox is a mailbox that was made.
type simBox struct {
	id      string
	made    time.Time
	until   time.Time
	ended   bool
	unheard bool // whoever wanted to make or to end it had no answer
	users   map[*invocation]bool
}

// simJob is a job as the outside sees it.
type simJob struct {
	id, runID string
	killAt    time.Time // by the store's clock
	withdrawn bool
	by        *invocation   // who created begun.json as its runner
	said      *jobs.Outcome // by its runner
	stored    time.Time     // when that came into the mailbox; zero: it has not
	odd       bool          // it came late, or to a runner whose clock is wrong: so it has less time
}

// simAddress is what mailboxes' addresses begin with.
const simAddress = "https://mail/"

// job is what is known of a job.
func (w *world) job(id string) *simJob {
	if w.post.jobs[id] == nil {
		w.post.jobs[id] = &simJob{id: id}
	}
	return w.post.jobs[id]
}

// add adds up what went between executors and runners.
func (p *post) add(q *post) {
	p.calls, p.doubled, p.late, p.lost = p.calls+q.calls, p.doubled+q.doubled, p.late+q.late, p.lost+q.lost
	p.refused, p.withdrawn, p.kills = p.refused+q.refused, p.withdrawn+q.withdrawn, p.kills+q.kills
	p.lateOutcomes, p.left = p.lateOutcomes+q.lateOutcomes, p.left+q.left
}

// recordedApart is how many histories of runs apart the recorded set has.
const recordedApart = 150

// TestSimulationApart holds executor and runner, both production's own code, to their promises where steps run apart:
// calls are lost, late, doubled or refused, answers are lost, both are killed at every point, mailboxes do not answer
// or end, and clocks are apart.
func TestSimulationApart(t *testing.T) {
	p := hold(t, scenario{apart: true}, recordedApart).post
	t.Logf("%d calls: %d refused, %d lost, %d late, %d doubled; %d runners killed, %d jobs withdrawn, %d outcomes came "+
		"late; %d times somebody else went on with a run",
		p.calls, p.refused, p.lost, p.late, p.doubled, p.kills, p.withdrawn, p.lateOutcomes, p.left)
	for what, n := range map[string]int{
		"refused": p.refused, "lost": p.lost, "late": p.late, "doubled": p.doubled, "killed": p.kills,
		"withdrawn": p.withdrawn, "a late outcome": p.lateOutcomes, "gone on with": p.left,
	} {
		if n == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
}

// box is the mailbox with an id, or of an object.
func (w *world) box(object string) *simBox {
	id, _, _ := strings.Cut(object, "/")
	n := slices.IndexFunc(w.post.boxes, func(b *simBox) bool { return b.id == id })
	if n < 0 {
		return nil
	}
	return w.post.boxes[n]
}

// goApart has an executor's steps run by runners.
func (w *world) goApart(c *executor.Config, i *invocation) {
	clock := c.Clock
	if w.off["kill_at"] && i.number%2 == 0 {
		clock = func() time.Time { return time.Now().Add(20 * time.Minute) }
	}
	if w.off["attend"] && i.number%2 == 0 {
		return // it knows nothing of runners
	}
	c.Runners = []executor.Runner{{Label: "default", Kind: executor.KindFunction, ID: runnerID}}
	c.Apart = &apart.Desk{
		Jobs: simBucket{"jobs", i}, Log: i.logger(), Clock: func() time.Time { return clock().UTC() },
		NewMailbox: i.newMailbox, EndMailbox: i.endMailbox,
		Call: func(ctx context.Context, _ string, call []byte) ([]byte, error) { return i.calls(ctx, call, false) },
		CallDetached: func(ctx context.Context, _ string, call []byte) error {
			_, err := i.calls(ctx, call, true)
			return err
		},
	}
}

func (i *invocation) newMailbox(ctx context.Context, until time.Time) (apart.Mailbox, error) {
	w := i.world
	var box *simBox
	err := i.schedule(ctx, "make", "jobs/mailbox", func() error {
		box = &simBox{
			id: fmt.Sprintf("%032x", len(w.post.boxes)+1), made: time.Now(), until: until, unheard: true,
			users: map[*invocation]bool{i: true},
		}
		w.post.boxes = append(w.post.boxes, box)
		return nil
	})
	if err != nil {
		return apart.Mailbox{}, err
	}
	box.unheard = false
	return apart.Mailbox{
		ID: box.id, Prefix: box.id + "/", Address: func() string { return simAddress + box.id + "/" },
	}, nil
}

func (i *invocation) endMailbox(ctx context.Context, id string) error {
	w := i.world
	box := w.box(id)
	err := i.schedule(ctx, "end", "jobs/"+id, func() error { box.ended = !w.off["mailbox"]; return nil })
	box.unheard = box.unheard || err != nil
	box.users[i] = true
	return err
}

// said is what comes of a call.
type said struct {
	answer []byte
	err    error
}

var errCall = store.Error(store.ErrUnavailable, "call", "runner", "", errors.New("the call has failed"))

// calls calls a runner, and waits for its answer unless that is nobody's business.
func (i *invocation) calls(ctx context.Context, call []byte, detached bool) ([]byte, error) {
	answers := make(chan said, 4)
	err := i.schedule(ctx, "call", "runner/", func() error { return i.world.takes(call, detached, answers) })
	if err != nil || detached {
		return nil, err
	}
	select {
	case s := <-answers:
		return s.answer, s.err
	case <-time.After(5 * time.Minute):
		return nil, errCall
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// takes is the platform that takes a call, and delivers it or not.
func (w *world) takes(call []byte, detached bool, answers chan said) error {
	job, _, err := jobs.DecodeJob(call)
	if err != nil {
		w.violated("an executor sent what is no job: %v", err)
		return err
	}
	j := w.job(job.Job)
	j.runID, j.killAt = job.RunID, job.Times.KillAt
	w.post.calls++
	chance, delay := w.random.IntN(100), time.Duration(w.random.IntN(5000))*time.Millisecond
	if w.calm {
		chance = 99
	}
	switch {
	case chance < 4:
		w.post.refused++
		return errCall // 429, or 5xx
	case chance < 9:
		w.post.lost++
		if !detached && w.random.IntN(2) == 0 {
			w.in(delay, func() { answers <- said{err: errCall} })
		}
		return nil
	case chance < 16:
		w.post.late++
		j.odd = true
		delay = time.Duration(w.random.IntN(200)) * time.Second
	case chance < 22:
		w.post.doubled++
		j.odd = true
		w.in(time.Duration(w.random.IntN(200))*time.Second, func() { w.serve(call, make(chan said, 4)) })
	case chance < 28: // the connection breaks
		w.in(time.Duration(w.random.IntN(60))*time.Second, func() { answers <- said{err: errCall} })
	}
	w.in(delay, func() { w.serve(call, answers) })
	return nil
}

// serve is an invocation of the runner's function.
func (w *world) serve(call []byte, answers chan said) {
	job, zip, _ := jobs.DecodeJob(call)
	limit := detachedTime
	skew := time.Duration(w.random.Int64N(int64(2*maxSkew)) - int64(maxSkew)).Truncate(time.Millisecond)
	if !w.calm {
		switch w.random.IntN(30) {
		case 0:
			limit = callTime
		case 1:
			skew = time.Hour // a machine whose clock is wrong
		case 2:
			skew = -time.Hour
		}
	}
	w.number++
	i := &invocation{
		world: w, number: w.number, skew: skew, hard: time.Now().Add(limit), does: w.job(job.Job),
	}
	i.does.odd = i.does.odd || skew.Abs() > maxSkew || limit < detachedTime
	// What is right for a clock that is ahead is, for one that is right, what is as much earlier.
	job.Times.StopAt, job.Times.KillAt = job.Times.StopAt.Add(-skew), job.Times.KillAt.Add(-skew)
	call, err := job.Encode(zip)
	if err != nil {
		w.violated("a job cannot be encoded: %v", err)
		return
	}
	w.mu.Lock()
	w.alive++
	w.mu.Unlock()
	go func() {
		ctx, cancel := context.WithDeadline(context.Background(), i.hard.Add(-skew))
		defer cancel()
		defer func() {
			w.mu.Lock()
			w.alive--
			w.mu.Unlock()
		}()
		answer, err := i.runner().Serve(ctx, call)
		err = errors.Join(err, i.schedule(context.Background(), "step answer", "", func() error {
			w.answeredJob(i, answer)
			return nil
		}))
		if err != nil {
			answer, err = nil, errCall
		}
		answers <- said{answer, err}
	}()
}

// runner is the real one, with scripts of the simulation.
func (i *invocation) runner() *runner.Runner {
	limits := executor.DefaultLimits()
	return runner.New(runner.Config{
		Kind: "function", Version: "sim", WorkDir: fmt.Sprintf("%s/%d", i.world.dir, i.number),
		Level: sandbox.LevelNone, PackageBytes: limits.PackageBytes, Archive: limits.Archive,
		Open: func(address string) (runner.Mailbox, error) {
			return simMail{simBucket{"jobs", i}, i.world.box(strings.TrimPrefix(address, simAddress))}, nil
		},
		Spawn: i.spawn, Log: i.logger(),
	})
}

// simMail is a mailbox as its runner sees it.
type simMail struct {
	bucket simBucket
	box    *simBox
}

// open refuses what comes by an address that is of no use any more.
func (m simMail) open(op, name string) error {
	if m.box.ended || time.Now().After(m.box.until) {
		return store.Error(store.ErrDenied, op, "mailbox", name, nil)
	}
	return nil
}

func (m simMail) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, create bool) (time.Time, error) {
	doc, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil {
		return time.Time{}, err
	}
	i := m.bucket.by
	w, object := i.world, m.box.id+"/"+name
	put := func() error {
		if err := m.open("put", name); err != nil {
			return err
		}
		before := w.buckets["jobs"][object]
		if create && before != nil && !w.off["begun"] {
			return store.Error(store.ErrExists, "put", "mailbox", name, nil)
		}
		w.mailed(i, object, before, doc)
		w.put("jobs", object, w.forged(name, doc), nil)
		return nil
	}
	if name == jobs.MailOutcome {
		w.says(i, doc)
	}
	var at time.Time
	err = i.schedule(ctx, "mail", "jobs/"+object, func() error {
		if name == jobs.MailOutcome && !w.calm && w.random.IntN(12) == 0 {
			w.post.lateOutcomes++
			w.in(time.Duration(w.random.IntN(900))*time.Second, func() { _ = put() })
			return store.Error(store.ErrUnavailable, "put", "mailbox", name, errors.New("it is on its way"))
		}
		at = time.Now().Truncate(time.Second).Add(-i.skew)
		return put()
	})
	return at, err
}

func (m simMail) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error) {
	if err := m.open("get", name); err != nil {
		return nil, store.Info{}, err
	}
	return m.bucket.Get(ctx, m.box.id+"/"+name, store.GetOptions{Offset: offset, Length: length})
}
