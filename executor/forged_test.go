package executor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/store"
)

// forger is a runner that runs nothing, and says what it likes: scripts have taken it over.
type forger struct {
	t   *testing.T
	o   *office
	job jobs.Job
	// view is the jobs bucket as the executor reads it.
	view *view
}

// view is a bucket that is read as another one from some time on.
type view struct {
	store.Bucket
	now atomic.Pointer[store.Bucket]
}

func (v *view) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if now := v.now.Load(); now != nil {
		return (*now).Get(ctx, name, o)
	}
	return v.Bucket.Get(ctx, name, o)
}

func (f *forger) sees(as store.Bucket) { f.view.now.Store(&as) }

// forged has a package's job done by a forger, and returns the result.
func forged(t *testing.T, does func(f *forger) (answer []byte, err error)) (*bench, evidence.Result) {
	t.Helper()
	return forgedWithin(t, 5*time.Second, does)
}

// forgedWithin is the same for an invocation that has another time.
func forgedWithin(
	t *testing.T, limit time.Duration, does func(f *forger) (answer []byte, err error),
) (*bench, evidence.Result) {
	t.Helper()
	b := newBench(t)
	o := b.apart()
	view := &view{Bucket: o.jobs}
	o.desk.Jobs = view
	o.deliver = func(_ context.Context, call []byte) ([]byte, error) {
		job, _, err := jobs.DecodeJob(call)
		if err != nil {
			return nil, err
		}
		return does(&forger{t, o, job, view})
	}
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one", "steps/2.sh": "echo two"}),
		store.PutOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	answered, err := b.run(ctx, request(info.Name, info.ETag))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.log)
	}
	return b, b.stored(answered.RunID)
}

// atOnce tries every case, all of them at the same time: they wait.
func atOnce[C any](t *testing.T, cases map[string]C, try func(t *testing.T, c C)) {
	t.Helper()
	var all sync.WaitGroup
	for name, c := range cases {
		all.Go(func() { t.Run(name, func(t *testing.T) { try(t, c) }) })
	}
	all.Wait()
}

// put puts an object into the mailbox.
func (f *forger) put(name string, doc []byte) {
	f.t.Helper()
	prefix := strings.TrimPrefix(f.job.Mailbox, "https://mail/")
	_, err := f.o.jobs.Put(context.Background(), prefix+name, bytes.NewReader(doc), int64(len(doc)), store.PutOptions{})
	if err != nil {
		f.t.Error(err)
	}
}

// begins is how a runner begins.
func (f *forger) begins(job string) {
	f.t.Helper()
	f.put(jobs.MailBegun, f.begun(job))
}

func (f *forger) begun(job string) []byte {
	f.t.Helper()
	doc, err := jobs.Begun{Job: job, By: jobs.ByRunner, Nonce: strings.Repeat("0", 32), At: time.Now()}.Encode()
	if err != nil {
		f.t.Error(err)
	}
	return doc
}

// first begins the job unless somebody else has decided.
func (f *forger) first() bool {
	f.t.Helper()
	doc := f.begun(f.job.Job)
	_, err := f.o.jobs.Put(context.Background(), strings.TrimPrefix(f.job.Mailbox, "https://mail/")+jobs.MailBegun,
		bytes.NewReader(doc), int64(len(doc)), store.PutOptions{IfNoneMatch: true})
	if err != nil && !errors.Is(err, store.ErrExists) {
		f.t.Error(err)
	}
	return err == nil
}

// progresses says that the first step has ended.
func (f *forger) progresses() {
	f.t.Helper()
	doc, err := jobs.Progress{
		Job: f.job.Job, Seq: 1, Steps: f.lies().Steps[:1], Step: "2", Elapsed: 1000, Tail: "so far",
	}.Encode()
	if err != nil {
		f.t.Error(err)
	}
	f.put(jobs.MailProgress, doc)
}

// lies is an outcome in which everything has succeeded, with the logs that it names in the mailbox.
func (f *forger) lies() jobs.Outcome {
	f.t.Helper()
	o := jobs.Outcome{V: jobs.Version, Job: f.job.Job, Began: true, Ended: jobs.Complete}
	o.Sandbox.Level, o.Runner.Kind = "basic", "function"
	end := time.Now().UTC().Truncate(time.Millisecond)
	start := end.Add(-time.Second)
	for _, s := range f.job.Plan {
		log := []byte("the log of " + s.Name + "\n")
		digest := sha256.Sum256(log)
		f.put(jobs.MailLogs+fmt.Sprint(s.N), log)
		o.Steps = append(o.Steps, evidence.Step{
			Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Status: evidence.StepSuccess, Attempts: 1,
			Start: &start, End: &end, DurationMS: 1000, OutputSize: int64(len(log)),
			Log: jobs.LogName(s.N, s.Phase, s.Name), LogSHA256: hex.EncodeToString(digest[:]),
		})
	}
	return o
}

func (f *forger) encode(o jobs.Outcome) []byte {
	f.t.Helper()
	doc, err := o.Encode()
	if err != nil {
		f.t.Error(err)
	}
	return doc
}

// answers is the answer with the outcome.
func (f *forger) answers(outcome []byte) ([]byte, error) {
	return jobs.Answer{Job: f.job.Job, Says: jobs.AnswersOutcome, Outcome: outcome}.Encode()
}

// stores is the answer for an outcome that is in the mailbox alone.
func (f *forger) stores(outcome []byte) ([]byte, error) {
	f.put(jobs.MailOutcome, outcome)
	return jobs.Answer{Job: f.job.Job, Says: jobs.AnswersStored}.Encode()
}

const otherJob = "0123456789abcdef0123456789abcdef"

// An outcome that is not the job's is none, whether it is answered or in the mailbox: nothing is free before nothing of
// the job can run any more, and then the run is interrupted, with what the runner had said of its steps until then.
func TestOutcomesThatAreForged(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]func(f *forger, o *jobs.Outcome){
		"another run's": func(_ *forger, o *jobs.Outcome) { o.Job = otherJob },
		"altered":       func(_ *forger, o *jobs.Outcome) { o.Steps[0].SHA256 = strings.Repeat("0", 64) },
		"unknown step":  func(_ *forger, o *jobs.Outcome) { o.Steps[1].Name = "3" },
		"missing step":  func(_ *forger, o *jobs.Outcome) { o.Steps = o.Steps[:1] },
		"no steps":      func(_ *forger, o *jobs.Outcome) { o.Steps, o.Began = nil, false },
		"repeated step": func(_ *forger, o *jobs.Outcome) { o.Steps[1] = o.Steps[0] },
		"one more step": func(_ *forger, o *jobs.Outcome) { o.Steps = append(o.Steps, o.Steps[1]) },
		"another order": func(_ *forger, o *jobs.Outcome) { o.Steps[0], o.Steps[1] = o.Steps[1], o.Steps[0] },
		"a weaker sandbox": func(_ *forger, o *jobs.Outcome) {
			o.Sandbox.Level = "none"
		},
		"an undo that is not planned": func(_ *forger, o *jobs.Outcome) {
			o.Rollback = &evidence.Rollback{Status: evidence.StepSuccess, Steps: o.Steps[:1]}
		},
		"an artifact out of the mailbox": func(_ *forger, o *jobs.Outcome) {
			o.Artifacts = []jobs.Artifact{{N: 1, Name: "../../state/watch.json", Size: 1, SHA256: strings.Repeat("0", 64)}}
		},
	}, func(t *testing.T, change func(f *forger, o *jobs.Outcome)) {
		isForged(t, func(f *forger) ([]byte, error) {
			o := f.lies()
			change(f, &o)
			return f.stores(f.encode(o))
		})
	})
}

// The same for what is no outcome at all, or comes before the job has begun.
func TestOutcomesThatAreNone(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]func(f *forger, doc []byte) ([]byte, error){
		"truncated":        func(f *forger, doc []byte) ([]byte, error) { return f.stores(doc[:len(doc)/2]) },
		"empty":            func(f *forger, _ []byte) ([]byte, error) { return f.stores(nil) },
		"followed by more": func(f *forger, doc []byte) ([]byte, error) { return f.stores(append(doc, doc...)) },
		"with another key": func(f *forger, doc []byte) ([]byte, error) { return f.stores(spoiled(doc, `{"admin":true,`)) },
		"with a key twice": func(f *forger, doc []byte) ([]byte, error) { return f.stores(spoiled(doc, `{"v":1,`)) },
		"another version": func(f *forger, doc []byte) ([]byte, error) {
			return f.stores(bytes.Replace(doc, []byte(`"v":1`), []byte(`"v":9`), 1))
		},
		"a large one": func(f *forger, _ []byte) ([]byte, error) {
			return f.stores(bytes.Repeat([]byte(" "), jobs.MaxOutcome+1))
		},
		"answered, altered": func(f *forger, doc []byte) ([]byte, error) {
			return f.answers(bytes.Replace(doc, []byte(f.job.Job), []byte(otherJob), 1))
		},
	}, func(t *testing.T, does func(f *forger, doc []byte) ([]byte, error)) {
		isForged(t, func(f *forger) ([]byte, error) { return does(f, f.encode(f.lies())) })
	})
}

// spoiled is a document with other keys at its beginning.
func spoiled(doc []byte, keys string) []byte { return append([]byte(keys), doc[1:]...) }

// isForged checks the result of a job whose runner has begun it, said that its first step has ended, and then what is
// no outcome of it.
func isForged(t *testing.T, says func(f *forger) ([]byte, error)) {
	t.Helper()
	var came []byte
	var killAt time.Time
	b, r := forged(t, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		f.progresses()
		killAt = f.job.Times.KillAt
		answer, err := says(f)
		came = f.outcome(answer)
		return answer, err
	})
	digest := sha256.Sum256(came[:min(len(came), jobs.MaxOutcome+1)])
	if r.Status != evidence.StatusInterrupted || code(r) != "runner.outcome" ||
		!strings.Contains(r.Error.Message, hex.EncodeToString(digest[:])) {
		t.Fatalf("status %s, code %s, %q\n%s", r.Status, code(r), r.Message, b.log)
	}
	if len(r.Steps) != 2 || r.Steps[0].Status != evidence.StepSuccess || r.Steps[1].Status != evidence.StepInterrupted {
		t.Errorf("steps %+v", r.Steps)
	}
	if log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); log != "the log of 1\n" {
		t.Errorf("the log is %q", log)
	}
	if r.End.Before(killAt) {
		t.Errorf("it ended at %s, and something of the job may run until %s", r.End, killAt)
	}
	if r.Apart == nil || r.Apart.Word != evidence.ApartWord || r.Apart.Ended != nil {
		t.Errorf("apart %+v", r.Apart)
	}
}

// outcome is what came as the outcome: in the answer, or the mailbox.
func (f *forger) outcome(answer []byte) []byte {
	if a, err := jobs.DecodeAnswer(answer); err == nil && a.Outcome != nil {
		return a.Outcome
	}
	body, _, err := f.o.jobs.Get(context.Background(), strings.TrimPrefix(f.job.Mailbox, "https://mail/")+jobs.MailOutcome,
		store.GetOptions{})
	if err != nil {
		f.t.Error(err)
		return nil
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		f.t.Error(err)
	}
	return doc
}

// What the outcome of an earlier run was is none of a later one, of the same package.
func TestAnOutcomeThatIsReplayed(t *testing.T) {
	t.Parallel()
	var first []byte
	if _, r := forged(t, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		first = f.encode(f.lies())
		return f.answers(first)
	}); r.Status != evidence.StatusSuccess {
		t.Fatalf("status %s, %s", r.Status, r.Message)
	}
	isForged(t, func(f *forger) ([]byte, error) { return f.stores(first) })
}

// An outcome before the job has begun is none, nor is one where another job was begun, or this one withdrawn.
func TestAnOutcomeBeforeTheJobHasBegun(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]func(f *forger){
		"nobody has": func(*forger) {},
		"another":    func(f *forger) { f.begins(otherJob) },
		"no document": func(f *forger) {
			f.put(jobs.MailBegun, []byte("begun"))
		},
	}, func(t *testing.T, begins func(f *forger)) {
		b, r := forged(t, func(f *forger) ([]byte, error) {
			begins(f)
			return f.answers(f.encode(f.lies()))
		})
		if r.Status != evidence.StatusInterrupted || code(r) != "runner.outcome" {
			t.Errorf("status %s, code %s, %q\n%s", r.Status, code(r), r.Message, b.log)
		}
	})
}

// That a step has succeeded which never ran cannot be told from one that did: the result says whose word it is.
func TestTheRunnersWord(t *testing.T) {
	t.Parallel()
	_, r := forged(t, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		return f.answers(f.encode(f.lies()))
	})
	if r.Status != evidence.StatusSuccess || r.Steps[0].Status != evidence.StepSuccess || r.Apart == nil ||
		r.Apart.Word != "steps, exit codes, times, logs, outputs, artifacts" || r.Apart.ID != runnerID {
		t.Errorf("status %s, %+v", r.Status, r.Apart)
	}
}

// Of outcomes that come twice the first counts, and nothing of what comes after the result.
func TestAnOutcomeTwice(t *testing.T) {
	t.Parallel()
	var f *forger
	b, r := forged(t, func(forger *forger) ([]byte, error) {
		f = forger
		f.begins(f.job.Job)
		other := f.lies()
		other.Summary = "the other one"
		f.put(jobs.MailOutcome, f.encode(other))
		return f.answers(f.encode(f.lies()))
	})
	if r.Status != evidence.StatusSuccess || r.Summary != "" {
		t.Fatalf("status %s, summary %q", r.Status, r.Summary)
	}
	before := b.object(evidence.ResultObject(r.RunID))
	late := f.lies()
	late.Summary = "after the result"
	f.put(jobs.MailOutcome, f.encode(late))
	f.put(jobs.MailLogs+"1", []byte("another log"))
	if _, err := b.run(t.Context(), request(r.SourceObject, r.Package.ETag)); err != nil {
		t.Error(err)
	}
	if after := b.object(evidence.ResultObject(r.RunID)); after != before {
		t.Errorf("the result was %s\nand is %s", before, after)
	}
	if log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); log != "the log of 1\n" {
		t.Errorf("the log is %q", log)
	}
}

// An outcome that comes after nothing of the job can run any more comes too late.
func TestAnOutcomeAfterTheEnd(t *testing.T) {
	t.Parallel()
	put := make(chan struct{})
	b, r := forged(t, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		f.progresses()
		late := f.encode(f.lies())
		time.AfterFunc(time.Until(f.job.Times.KillAt)+500*time.Millisecond, func() { f.put(jobs.MailOutcome, late); close(put) })
		return nil, errLost
	})
	<-put
	if r.Status != evidence.StatusInterrupted || code(r) != "step.interrupted" || len(r.Steps) != 2 ||
		r.Steps[0].Status != evidence.StepSuccess {
		t.Errorf("status %s, code %s, %+v\n%s", r.Status, code(r), r.Steps, b.log)
	}
}

func digestOf(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

// A log that is changed after the outcome was given is not passed off as the runner's.
func TestObjectsThatAreChangedAfterwards(t *testing.T) {
	t.Parallel()
	b, r := forged(t, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		o := f.lies()
		f.put(jobs.MailArtifacts+"1", []byte("other"))
		o.Artifacts = []jobs.Artifact{{N: 1, Name: "a", Size: 5, SHA256: digestOf("given")}}
		f.put(jobs.MailLogs+"1", []byte("another log\n"))
		return f.answers(f.encode(o))
	})
	if r.Status != evidence.StatusSuccess || !r.Steps[0].Truncated || b.object(evidence.Dir(r.RunID)+r.Steps[0].Log) != "" ||
		len(r.Artifacts) != 1 || r.Artifacts[0].Object != "" || r.Artifacts[0].Withheld == "" {
		t.Errorf("status %s, %+v, %+v\n%s", r.Status, r.Steps[0], r.Artifacts, b.log)
	}
}

// errLost is the error of a call whose answer is lost.
var errLost = errors.New("the connection broke")

// blind is a jobs bucket of which nothing can be read while it is down.
type blind struct {
	store.Bucket
	down *atomic.Int64 // how many requests more
}

func (b blind) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	if b.down.Add(-1) >= 0 {
		return nil, store.Info{}, store.Error(store.ErrUnavailable, "get", "jobs", name, nil)
	}
	return b.Bucket.Get(ctx, name, o)
}

// That the mailbox cannot be read when the answer comes does not make an outcome of the job none: it is taken later,
// although the runner could not store it either.
func TestAnAnswerWhileTheMailboxCannotBeRead(t *testing.T) {
	t.Parallel()
	b, r := forged(t, func(f *forger) ([]byte, error) {
		var down atomic.Int64
		down.Store(1)
		f.begins(f.job.Job)
		o := f.lies()
		f.sees(blind{f.o.jobs, &down})
		return f.answers(f.encode(o))
	})
	if r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s\n%s", r.Status, r.Message, b.log)
	}
}

// How far a runner is is noted while the run goes on, and ends nothing.
func TestProgressOfARunnerIsNoted(t *testing.T) {
	t.Parallel()
	b, r := forgedWithin(t, 9*time.Second, func(f *forger) ([]byte, error) {
		f.begins(f.job.Job)
		f.progresses()
		time.AfterFunc(6*time.Second, func() { f.put(jobs.MailOutcome, f.encode(f.lies())) })
		return nil, errLost
	})
	if r.Status != evidence.StatusSuccess || !strings.Contains(b.log.String(), `"step":"2","phase":"run","number":2`) {
		t.Errorf("status %s, %s\n%s", r.Status, r.Message, b.log)
	}
}
