package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// noCapacity is the error of a call that did not come to its runner.
func noCapacity() error {
	return problem.New(problem.Problem{Code: "runner.unavailable", Where: runnerID, Message: "429", Hint: "wait"}, nil)
}

// A call that its runner did not get is sent again, as another job in another mailbox.
func TestACallIsSentAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	var office *office
	b, r := forgedWithin(t, time.Minute, func(f *forger) ([]byte, error) {
		office = f.o
		if calls.Add(1) == 1 {
			return nil, noCapacity()
		}
		f.begins(f.job.Job)
		return f.answers(f.encode(f.lies()))
	})
	if r.Status != evidence.StatusSuccess || calls.Load() != 2 || office.made != 2 || len(office.open) > 0 {
		t.Errorf("status %s, %s, %d calls, %d mailboxes, of which there are %v\n%s", r.Status, r.Message, calls.Load(),
			office.made, office.open, b.log)
	}
}

// A runner that is never reached has run nothing, and the run says so.
func TestARunnerThatIsNeverReached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.apart()
	o.deliver = func(context.Context, []byte) ([]byte, error) { return nil, noCapacity() }
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
	r, err := b.run(within(t, time.Minute), event(info.Name, info.ETag))
	if problem.CodeOf(err) != "runner.unavailable" || r.Execution.Ran || o.made != 3 || len(o.open) > 0 {
		t.Errorf("status %s, %s, %v, %d mailboxes\n%s", r.Status, r.Message, err, o.made, b.log)
	}
}

// A call that comes late, or twice, starts nothing twice; one that comes after its job was withdrawn starts nothing.
func TestCallsThatComeLateOrTwice(t *testing.T) {
	for name, c := range map[string]struct {
		deliver func(o *office, ctx context.Context, call []byte) ([]byte, error)
		runs    int
	}{
		"twice": {func(o *office, ctx context.Context, call []byte) ([]byte, error) {
			var both sync.WaitGroup
			both.Go(func() { _, _ = o.call(ctx, call) }) // one of them is answered that it is taken
			defer both.Wait()
			return o.call(ctx, call)
		}, 1},
		"the answer is lost": {func(o *office, ctx context.Context, call []byte) ([]byte, error) {
			_, err := o.call(ctx, call)
			return nil, errors.Join(errLost, err)
		}, 1},
		"again, after its end": {func(o *office, ctx context.Context, call []byte) ([]byte, error) {
			answer, err := o.call(ctx, call)
			if again, _ := o.call(ctx, call); !strings.Contains(string(again), `"taken"`) {
				return nil, fmt.Errorf("answered %s", again)
			}
			return answer, err
		}, 1},
		"late": {func(o *office, ctx context.Context, call []byte) ([]byte, error) {
			o.detached.Go(func() {
				time.Sleep(2 * time.Second)
				if late, _ := o.call(context.WithoutCancel(ctx), call); !strings.Contains(string(late), `"taken"`) {
					o.log.Write([]byte("the late call was answered " + string(late)))
				}
			})
			return nil, errLost
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			o := b.apart()
			o.deliver = func(ctx context.Context, call []byte) ([]byte, error) { return c.deliver(o, ctx, call) }
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo it ran"}), store.PutOptions{})
			r, err := b.run(within(t, 20*time.Second), request(info.Name, info.ETag))
			o.detached.Wait()
			if (c.runs > 0) != (err == nil && r.Status == evidence.StatusSuccess) || r.Execution.Ran != (c.runs > 0) ||
				strings.Contains(o.log.String(), "the late call") {
				t.Errorf("status %s, %s, %v; the runner's log:\n%s\n%s", r.Status, r.Message, err, o.log, b.log)
			}
			if n := strings.Count(o.log.String(), `"msg":"job begins"`); n != c.runs {
				t.Errorf("the job began %d times\n%s", n, o.log)
			}
		})
	}
}

// Whoever creates begun.json first decides: a job that is withdrawn at the moment at which it begins has run, or is
// not going to.
func TestWithdrawalAgainstBegin(t *testing.T) {
	t.Parallel()
	cases := map[string]time.Duration{}
	for i := range 24 {
		cases[fmt.Sprint(i)] = time.Duration(i) * 100 * time.Microsecond
	}
	var began atomic.Int64
	atOnce(t, cases, func(t *testing.T, late time.Duration) {
		b := newBench(t)
		o := b.apart()
		var all sync.WaitGroup
		var won atomic.Bool
		o.deliver = func(_ context.Context, call []byte) ([]byte, error) {
			job, _, err := jobs.DecodeJob(call)
			if err != nil {
				return nil, err
			}
			f := &forger{t, o, job, nil}
			outcome := f.encode(f.lies())
			all.Go(func() {
				time.Sleep(late)
				if won.Store(f.first()); won.Load() {
					began.Add(1)
					f.put(jobs.MailOutcome, outcome)
				}
			})
			return nil, errLost
		}
		info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
		r, err := b.run(within(t, 20*time.Second), request(info.Name, info.ETag))
		all.Wait()
		if ran := err == nil && r.Status == evidence.StatusSuccess; ran != won.Load() || r.Execution.Ran != ran {
			t.Errorf("the job has begun: %v; status %s, %s, %v", won.Load(), r.Status, r.Message, err)
		}
	})
	t.Logf("%d of %d have begun", began.Load(), len(cases))
}

// A runner that dies after it has begun: nothing is free before nothing of the job can run any more, and then the run
// is interrupted, with the last that was heard.
func TestARunnerThatDies(t *testing.T) {
	t.Parallel()
	var killAt time.Time
	b, r := forged(t, func(f *forger) ([]byte, error) {
		killAt = f.job.Times.KillAt
		f.begins(f.job.Job)
		f.progresses()
		return nil, errLost
	})
	if r.Status != evidence.StatusInterrupted || code(r) != "step.interrupted" || len(r.Steps) != 2 ||
		r.Steps[0].Status != evidence.StepSuccess || r.Steps[1].Status != evidence.StepInterrupted {
		t.Errorf("status %s, code %s, %+v\n%s", r.Status, code(r), r.Steps, b.log)
	}
	if r.End.Before(killAt) {
		t.Errorf("it ended at %s, and something of the job may run until %s", r.End, killAt)
	}
}

// A mailbox that is dead for the runner once it has begun, because its creator's right was taken, or it was deleted:
// the answer carries what fits.
func TestAMailboxThatDies(t *testing.T) {
	b := newBench(t)
	o := b.apart()
	o.fails = func(op, name string) error {
		if op == "put" && name == jobs.MailBegun {
			return nil
		}
		return store.Error(store.ErrRefused, op, "mailbox", name, nil)
	}
	info := b.upload("sample-1.0.0.zip", pack(t, files{
		"steps/1.sh": `echo "ROWS=7" >>$CEMLI_OUTPUT; echo one; echo kept >$CEMLI_ARTIFACTS/a`,
	}), store.PutOptions{})
	answered, err := b.run(within(t, 30*time.Second), request(info.Name, info.ETag))
	if err != nil {
		t.Fatal(err)
	}
	r := b.stored(answered.RunID)
	if r.Status != evidence.StatusSuccess || r.Outputs["ROWS"] != "7" || r.Execution.Stdout != "one\n" ||
		!r.Steps[0].Truncated || len(r.Artifacts) != 1 || r.Artifacts[0].Withheld == "" {
		t.Errorf("status %s, %s, outputs %v, %+v, %+v\n%s", r.Status, r.Message, r.Outputs, r.Steps, r.Artifacts, b.log)
	}
}

// diesWaiting makes the executor die when it first looks at what came of its job, and returns the package's request.
func (b *bench) diesWaiting(o *office, contents files) executor.Request {
	b.t.Helper()
	b.config.Apart.Jobs = faulty{Bucket: o.jobs, get: func(name string) error {
		if strings.HasSuffix(name, ".json") {
			panic(death{name})
		}
		return nil
	}}
	info := b.upload("sample-1.0.0.zip", pack(b.t, contents), store.PutOptions{})
	q := event(info.Name, info.ETag)
	if !dies(func() { _, _ = executor.New(b.config).Run(within(b.t, 10*time.Minute), q) }) {
		b.t.Fatalf("the executor lives\n%s", b.log)
	}
	b.config.Apart.Jobs = o.jobs
	b.alone()
	return q
}

// alone lets the time pass in which somebody who waits for a runner says so again.
func (b *bench) alone() {
	b.t.Helper()
	for _, name := range b.stateNames("claims/") {
		var doc map[string]any
		if err := json.Unmarshal([]byte(b.stateText(name)), &doc); err != nil {
			b.t.Fatal(err)
		}
		if apart, ok := doc["apart"].(map[string]any); ok {
			apart["attended"] = time.Now().Add(-time.Minute).UTC()
			apart["asked"] = time.Now().Add(-4 * time.Minute).UTC()
			b.overwrite(name, doc)
		}
	}
}

// An executor that dies while it waits: the next sweep goes on, and the run ends as if nothing had been, once, with all
// logs, and nothing in them of a secret that was rotated in between; where its version is gone, too, nothing that was
// printed is shown.
func TestAnExecutorThatDiesWhileItWaits(t *testing.T) {
	const value = "tiger-s3cr3t"
	for name, version := range map[string]func(context.Context, string, string) ([]byte, error){
		"rotated": func(_ context.Context, id, version string) ([]byte, error) {
			if id != "ocid1.vaultsecret.oc1.phx.db" || version != "3" {
				return nil, fmt.Errorf("version %s of %s was read", version, id)
			}
			return []byte(value), nil
		},
		"gone": func(context.Context, string, string) ([]byte, error) {
			return nil, store.Error(store.ErrNotFound, "get", "vault", "db", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			o := b.apart()
			b.hides(map[string]string{"db": value})
			b.config.SecretVersion = version
			b.diesWaiting(o, with(`"secrets":{"DB":{"vault_secret":"db"}}`, files{
				"steps/1.sh": `echo "one $DB"; echo kept >$CEMLI_ARTIFACTS/a`, "steps/2.sh": `echo two; echo "A=1" >>$CEMLI_OUTPUT`,
			}))
			swept, err := executor.New(b.config).Sweep(within(t, time.Minute), "sweep")
			if err != nil || len(swept.Runs) != 1 {
				t.Fatalf("%+v, %v\n%s", swept, err, b.log)
			}
			r := b.stored(swept.Runs[0].RunID)
			if r.Status != evidence.StatusSuccess || len(o.open) > 0 || strings.Count(o.log.String(), `"msg":"job begins"`) != 1 {
				t.Errorf("status %s, %s, mailboxes %v\n%s", r.Status, r.Message, o.open, b.log)
			}
			log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log)
			two := b.object(evidence.Dir(r.RunID) + r.Steps[1].Log)
			if name == "rotated" && (log != "one ***\n" || two != "two\n" || r.Artifacts[0].Object == "" || r.Outputs["A"] != "1") {
				t.Errorf("logs %q, %q, artifacts %+v, outputs %v", log, two, r.Artifacts, r.Outputs)
			}
			if name == "gone" && (log+two != "" || r.Execution.Stdout != "" || r.Artifacts[0].Object != "" || r.Outputs["A"] != "") {
				t.Errorf("logs %q, %q, stdout %q, artifacts %+v, outputs %v", log, two, r.Execution.Stdout, r.Artifacts, r.Outputs)
			}
			b.nowhere(value)
			if again, err := executor.New(b.config).Sweep(within(t, time.Minute), "sweep"); err != nil || len(again.Runs) > 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// An executor that dies right before its call comes to the runner: nothing has begun, and the next one withdraws the
// job and does all of it anew.
func TestAnExecutorThatDiesBeforeItsCall(t *testing.T) {
	b := newBench(t)
	o := b.apart()
	o.deliver = func(ctx context.Context, _ []byte) ([]byte, error) { return nil, errLost }
	b.config.Apart.Jobs = faulty{Bucket: o.jobs, put: func(name string) error {
		if strings.HasSuffix(name, jobs.MailBegun) {
			panic(death{name})
		}
		return nil
	}}
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
	q := event(info.Name, info.ETag)
	if !dies(func() { _, _ = executor.New(b.config).Run(within(t, 10*time.Minute), q) }) {
		t.Fatalf("the executor lives\n%s", b.log)
	}
	o.deliver, b.config.Apart.Jobs = o.call, o.jobs
	b.alone()
	var r evidence.Result
	for range 3 { // the first one only withdraws it
		_, _ = executor.New(b.config).Sweep(within(t, time.Minute), "sweep") // what is tried again is no failure here
		if results, err := executor.New(b.config).Run(within(t, time.Minute), q); err == nil {
			r = results[0]
		}
		b.age()
	}
	if r.RunID == "" {
		t.Fatalf("there is no run\n%s", b.log)
	}
	if r := b.stored(r.RunID); r.Status != evidence.StatusSuccess || strings.Count(o.log.String(), `"msg":"job begins"`) != 1 {
		t.Errorf("status %s, %s\n%s\n%s", r.Status, r.Message, b.log, o.log)
	}
}
