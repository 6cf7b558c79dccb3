package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// The full way: what runs, what is where, in which order.
func TestAJob(t *testing.T) {
	for _, attached := range []bool{true, false} {
		b := newBench(t, map[string]string{
			"1": `echo "A=1" >>$CEMLI_OUTPUT; echo "one $TOKEN"; echo "# done $TOKEN" >$CEMLI_SUMMARY`,
			"2": `echo "two $CEMLI_OUT_A $CEMLI_PARAM_P $CEMLI_FENCE"; echo x >$CEMLI_ARTIFACTS/a; ` +
				`echo "$TOKEN" >$CEMLI_ARTIFACTS/b; echo y >$CEMLI_ARTIFACTS/c`,
		}, "1", "2")
		b.job.Secrets, b.job.Mask = map[string]string{"TOKEN": secret}, []string{secret}
		b.job.Arguments = map[string]string{"P": "value"}
		if b.attached = attached; !attached {
			b.box.set(jobs.MailPackage, string(b.zip))
		}
		o := b.run()
		b.is(o, jobs.Complete, "1 success, 2 success")
		b.hasLogs(o)
		for name, want := range map[string]string{
			"logs/1": "one ***\n", "logs/2": "two 1 value 7\n", "artifacts/1": "x\n", "artifacts/2": "y\n",
		} {
			if got, _ := b.box.of(name); got != want {
				t.Errorf("%s is %q; want %q", name, got, want)
			}
		}
		if o.Summary != "# done ***\n" || len(o.Artifacts) != 3 || o.Artifacts[1].Withheld == "" ||
			o.Artifacts[2].N != 2 || o.Steps[0].Outputs["A"] != "1" {
			t.Errorf("%+v", o)
		}
		want := jobs.Runner{Kind: "function", Version: "1.2.3", Image: "registry/image@sha256:1"}
		if o.Runner != want || o.Sandbox.Level == "none" {
			t.Errorf("%+v %+v", o.Runner, o.Sandbox)
		}
		if n := len(b.box.trail); b.box.trail[0] != jobs.MailBegun || b.box.trail[n-1] != jobs.MailOutcome || n != 8 {
			t.Errorf("written: %v", b.box.trail)
		}
		begun, _ := b.box.of(jobs.MailBegun)
		if d, err := jobs.DecodeBegun([]byte(begun)); err != nil || d.Job != someJob || d.By != jobs.ByRunner {
			t.Errorf("%s: %v", begun, err)
		}
	}
}

// A call that is doubled or late does nothing; the runner counts the jobs that it has begun.
func TestOnlyOneBegins(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo hello"}, "1")
	r := b.runner()
	for i, want := range []string{jobs.AnswersOutcome, jobs.AnswersTaken, jobs.AnswersTaken} {
		if a, err := b.serve(r); err != nil || a.Says != want {
			t.Errorf("call %d: %+v, %v; want %s", i, a, err, want)
		}
	}
	if n := len(b.box.trail); n != 4 { // begun, times, log, outcome
		t.Errorf("written: %v", b.box.trail)
	}
	b.box = &box{objects: map[string][]byte{}}
	a, err := b.serve(r)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := jobs.DecodeOutcome(a.Outcome); err != nil || o.Runner.JobsBefore != 1 {
		t.Errorf("%+v, %v", o.Runner, err)
	}
}

func TestAWithdrawnJob(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo hello"}, "1")
	doc, err := jobs.Begun{
		Job: someJob, By: jobs.ByExecutor, Nonce: strings.Repeat("1", 32), At: time.Now(), Withdrawn: true,
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b.box.set(jobs.MailBegun, string(doc))
	if a, err := b.serve(b.runner()); err != nil || a.Says != jobs.AnswersTaken || len(b.box.trail) > 0 {
		t.Errorf("%+v, %v, %v", a, err, b.box.trail)
	}
}

// Where it cannot be told whether the job has begun nothing runs, and the call fails.
func TestABeginThatCannotBeTold(t *testing.T) {
	for name, fail := range map[string]func(b *bench){
		"lost":        func(b *bench) { b.box.lose = func(name string) error { return down("put", name) } },
		"not written": func(b *bench) { b.box.put = func(name string) error { return down("put", name) } },
	} {
		b := newBench(t, map[string]string{"1": "echo hello"}, "1")
		fail(b)
		_, err := b.serve(b.runner())
		if !errors.Is(err, store.ErrUnavailable) || len(b.box.trail) > 1 || strings.Contains(b.log.String(), "step") {
			t.Errorf("%s: %v, %v\n%s", name, err, b.box.trail, &b.log)
		}
	}
}

// What cannot be carried to its end is not begun.
func TestRefusedBeforeItBegins(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench)
		want   string
	}{
		"its own end is earlier": {func(b *bench) { b.time = 45 * time.Second }, "runner.deadline"},
		"in doubt": {
			func(b *bench) {
				b.config.Doubtful = func() error {
					return problem.New(problem.Problem{Code: "sandbox.doubt", Message: "m"}, nil)
				}
			}, "sandbox.doubt",
		},
		"no mailbox": {
			func(b *bench) {
				b.config.Open = func(string) (Mailbox, error) {
					return nil, store.Error(store.ErrRefused, "open", "mailbox", "", nil)
				}
			}, "store.refused",
		},
	} {
		b := newBench(t, map[string]string{"1": "echo hello"}, "1")
		c.change(b)
		a, err := b.serve(b.runner())
		if err != nil || a.Says != jobs.AnswersRefused || a.Refused[0].Code != c.want || len(b.box.objects) > 0 {
			t.Errorf("%s: %+v, %v, %v", name, a, err, b.box.trail)
		}
	}
	b := newBench(t, hello(), "1")
	if _, err := b.runner().Serve(t.Context(), []byte(`{"object":"a.zip"}`)); problem.CodeOf(err) != "runner.job" {
		t.Errorf("no job: %v", err)
	}
	doc, err := b.runner().Serve(t.Context(), b.call())
	if a, _ := jobs.DecodeAnswer(doc); err != nil || a.Says != jobs.AnswersRefused {
		t.Errorf("without a deadline: %s, %v", doc, err)
	}
	doc, err = b.runner().Refuse(b.call(), problem.New(problem.Problem{Code: "trigger.busy", Message: "m"}, nil))
	if a, _ := jobs.DecodeAnswer(doc); err != nil || a.Says != jobs.AnswersRefused || a.Refused[0].Code != "trigger.busy" {
		t.Errorf("busy: %s, %v", doc, err)
	}
}

func hello() map[string]string { return map[string]string{"1": "echo hello"} }

// What is found wanting after it has begun is an outcome: nothing was executed, and that is final.
func TestRefusedAfterItBegan(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench)
		want   string
	}{
		"a tool":         {func(b *bench) { b.job.Tools = []string{"no-such-tool-here"} }, "step.tool"},
		"an interpreter": {func(b *bench) {}, "step.interpreter"},
		"no time": {
			func(b *bench) {
				b.job.Times.StopAt = time.Now()
				b.job.Times.KillAt = time.Now().Add(5 * time.Second)
			}, "step.deadline",
		},
		"the package is not there": {func(b *bench) { b.attached = false }, "runner.package"},
		"the package is another": {func(b *bench) {
			b.attached = false
			b.box.set(jobs.MailPackage, strings.Repeat("x", len(b.zip)))
		}, "runner.package"},
		"the package has another size": {func(b *bench) {
			b.attached = false
			b.box.set(jobs.MailPackage, "x")
		}, "runner.package"},
		"the contents are others": {
			func(b *bench) { b.job.Package.DirHash = "h1:" + strings.Repeat("A", 43) + "=" }, "runner.package",
		},
		"the package is too large": {func(b *bench) { b.config.PackageBytes = 10 }, "runner.package"},
		"no such archive":          {func(b *bench) { b.config.Archive.Entries = 1 }, "runner.package"},
		"an artifact is not there": {func(b *bench) { b.restore("a", "text") }, "runner.package"},
		"an artifact is another": {func(b *bench) {
			b.restore("a", "text")
			b.box.set("in/1", "TEXT")
		}, "runner.package"},
		"an artifact is longer": {func(b *bench) {
			b.restore("a", "text")
			b.box.set("in/1", "texts")
		}, "runner.package"},
		"too much to tell": {func(b *bench) {
			for i := range 9999 {
				s := b.job.Plan[0]
				s.N, s.Name = i+2, fmt.Sprint("s", i)
				b.job.Plan = append(b.job.Plan, s)
			}
		}, "runner.job"},
	} {
		t.Run(name, func(t *testing.T) {
			files := hello()
			if name == "an interpreter" {
				files["1"] = "#!/no/such/program\n"
			}
			b := newBench(t, files, "1")
			c.change(b)
			o := b.run()
			if trail(o) != "refused "+c.want || o.Began || o.Ended != jobs.Stopped {
				t.Errorf("%s: %s, %+v", trail(o), o.Ended, o.Refused)
			}
			if n := b.box.trail; len(n) != 2 || n[1] != jobs.MailOutcome {
				t.Errorf("written: %v", n)
			}
		})
	}
}

// restore has the job restore an artifact.
func (b *bench) restore(name, text string) {
	n := len(b.job.Restore) + 1
	b.job.Restore = append(b.job.Restore, jobs.Restored{N: n, Name: name, Size: int64(len(text)), SHA256: digest([]byte(text))})
}

// A level that the kernel does not have, and one that the runner itself demands.
func TestLevels(t *testing.T) {
	b := newBench(t, hello(), "1")
	if sandbox.Probe().Strongest() != sandbox.LevelFull {
		b.job.Level = "full"
		b.is(b.run(), jobs.Stopped, "refused sandbox.unavailable")
	}
	b = newBench(t, hello(), "1")
	b.job.Network, b.job.Level, b.config.Level = false, "none", sandbox.LevelNone
	b.is(b.run(), jobs.Stopped, "refused sandbox.network")
	b = newBench(t, hello(), "1")
	b.job.Level = "none" // and the runner's is basic
	if o := b.run(); o.Sandbox.Level == "none" {
		t.Errorf("%+v", o.Sandbox)
	}
}

// Secrets are not given where a script could wait for the next job's, unless the policy accepts it.
func TestSecretsWhereTheInitIsInReach(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		b := newBench(t, map[string]string{"1": `echo "$TOKEN"`}, "1")
		b.job.Level, b.config.Level = "none", sandbox.LevelNone
		b.job.Secrets, b.job.Mask, b.job.AcceptInit = map[string]string{"TOKEN": secret}, []string{secret}, accepted
		want, ended := "refused secret.sandbox", jobs.Stopped
		if accepted {
			want, ended = "1 success", jobs.Complete
		}
		b.is(b.run(), ended, want)
	}
}

// A failure is undone, and artifacts of an earlier run are where its scripts had left them.
func TestFailureIsUndone(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": `cat $CEMLI_ARTIFACTS/before/old; echo new >$CEMLI_ARTIFACTS/new`, "u1": `echo back`,
		"2": `echo two; exit 3`, "u2": `echo u2`, "3": `echo never`,
	}, "1", "2", "3")
	b.restore("before/old", "text of before")
	b.box.set("in/1", "text of before")
	o := b.run()
	b.is(o, jobs.Complete, "1 success, 2 failed, 3 not_run, undo success, u2 success, u1 success")
	b.hasLogs(o)
	if text, _ := b.box.of("logs/1"); text != "text of before" {
		t.Errorf("%q", text)
	}
	if len(o.Artifacts) != 2 || o.Artifacts[0].N != 0 || o.Artifacts[1].N != 1 {
		t.Errorf("%+v", o.Artifacts)
	}
}

// An undo of an earlier run is a job, too.
func TestRollback(t *testing.T) {
	b := newBench(t, map[string]string{"1": `x`, "u1": `echo u1`, "2": `x`, "u2": `echo u2`}, "1", "2")
	b.job.Action, b.job.Plan[0].Do, b.job.Plan[1].Do = jobs.ActionRollback, jobs.DoRevert, jobs.DoUndone
	o := b.run()
	b.is(o, jobs.Complete, "1 not_run, 2 not_run, undo success, u2 skipped, u1 success")
	b.hasLogs(o)
}

// Progress is written while steps run, and a cancel read: the step ends, and what had begun is undone.
func TestProgressAndCancel(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": "echo first", "u1": "echo u1", "2": `echo "now $TOKEN"; printf '%s\n' {1..100}; sleep 30`, "u2": "echo u2", "3": "echo never",
	}, "1", "2", "3")
	b.every = 20 * time.Millisecond
	b.job.Secrets, b.job.Mask = map[string]string{"TOKEN": secret}, []string{secret}
	var seen []jobs.Progress
	b.box.wrote = func(name string, body []byte) {
		if name != jobs.MailProgress {
			return
		}
		p, err := jobs.DecodeProgress(body)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, p)
		if p.Step == "2" && strings.Contains(p.Tail, "now") {
			b.box.objects[jobs.MailControl] = []byte(`{"cancel":true,"reason":"a mistake"}`)
		}
	}
	o := b.run()
	b.is(o, jobs.Cancelled, "1 success, 2 cancelled, 3 not_run, undo success, u2 success, u1 success")
	b.hasLogs(o)
	for i, p := range seen {
		if p.Seq != i+1 || p.Job != someJob {
			t.Errorf("%d: %+v", i, p)
		}
	}
	at := slices.IndexFunc(seen, func(p jobs.Progress) bool { return p.Step == "2" && strings.Contains(p.Tail, "now") })
	if at < 0 {
		t.Fatal("no progress tells what the step has printed")
	}
	p := seen[at]
	if !strings.HasPrefix(p.Tail, "first\nnow ***\n1\n") || len(p.Steps) != 1 || p.Steps[0].Name != "1" || p.Steps[0].StdoutTail != "" {
		t.Errorf("%+v", p)
	}
}

// A short job asks nothing of the store but what it has to.
func TestAShortJobHasNoProgress(t *testing.T) {
	b := newBench(t, hello(), "1")
	b.box.get = func(name string) error { t.Errorf("%s was read", name); return nil }
	b.run()
	if _, ok := b.box.of(jobs.MailProgress); ok {
		t.Error("there is progress")
	}
}

// The store's clock decides when a job ends, whatever this machine's says.
func TestClocksApart(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, map[string]string{"1": "sleep 30"}, "1")
			b.box.ahead = ahead
			b.job.OnFailure = jobs.OnFailureStop
			b.job.Times.StopAt = time.Now().Add(ahead + 5*time.Second)
			b.job.Times.KillAt = b.job.Times.StopAt.Add(10 * time.Second)
			b.time = max(ahead, 0) + time.Minute
			begun := time.Now()
			o := b.run()
			took := time.Since(begun)
			b.is(o, jobs.Stopped, "1 timed_out")
			if took > 6*time.Second || took < time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// No script runs so late that the call's own end leaves no time to store.
func TestItsOwnEndCounts(t *testing.T) {
	b := newBench(t, map[string]string{"1": "sleep 30"}, "1")
	b.box.ahead = -time.Hour // by which there is all the time of the world
	b.job.OnFailure = jobs.OnFailureStop
	b.job.Times.StopAt = time.Now().Add(5 * time.Second)
	b.job.Times.KillAt = b.job.Times.StopAt.Add(2 * time.Second)
	b.time = 8 * time.Second
	begun := time.Now()
	b.is(b.run(), jobs.Stopped, "1 timed_out")
	if took := time.Since(begun); took > 7*time.Second {
		t.Errorf("it took %s", took)
	}
}

// That whoever has called goes away ends nothing.
func TestTheCallerGoesAway(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo one; sleep 0.3", "2": "echo two"}, "1", "2")
	ctx, cancel := context.WithTimeout(t.Context(), b.time)
	b.box.wrote = func(string, []byte) { cancel() }
	doc, err := b.runner().Serve(ctx, b.call())
	a, _ := jobs.DecodeAnswer(doc)
	o, decodeErr := jobs.DecodeOutcome(a.Outcome)
	if err := errors.Join(err, decodeErr); err != nil {
		t.Fatal(err)
	}
	b.is(o, jobs.Complete, "1 success, 2 success")
}

// A mailbox that dies in the middle costs what goes through it, and not the outcome.
func TestTheMailboxDies(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo one; echo x >$CEMLI_ARTIFACTS/a; echo y >$CEMLI_ARTIFACTS/b"}, "1")
	var begun atomic.Bool
	b.box.put = func(name string) error {
		if name != jobs.MailBegun {
			return down("put", name)
		}
		begun.Store(true)
		return nil
	}
	o := b.run()
	b.is(o, jobs.Complete, "1 success")
	if len(o.Artifacts) != 2 || o.Artifacts[0].Withheld == "" || o.Artifacts[1].Withheld == "" || len(b.box.trail) != 1 {
		t.Errorf("%+v, %v", o.Artifacts, b.box.trail)
	}
}

// A log that could not be stored at once is stored at the end.
func TestALogIsStoredLater(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo one", "2": "echo two"}, "1", "2")
	var tries atomic.Int32
	b.box.put = func(name string) error {
		if name == "logs/1" && tries.Add(1) == 1 {
			return down("put", name)
		}
		return nil
	}
	b.hasLogs(b.run())
	if tries.Load() != 2 {
		t.Errorf("%d tries", tries.Load())
	}
}

// An outcome that somebody else has written is left as it is; the answer is the runner's.
func TestAnOutcomeIsThere(t *testing.T) {
	b := newBench(t, hello(), "1")
	b.box.set(jobs.MailOutcome, "{}")
	a, err := b.serve(b.runner())
	if stored, _ := b.box.of(jobs.MailOutcome); err != nil || a.Says != jobs.AnswersOutcome || stored != "{}" {
		t.Errorf("%+v, %v, %s", a, err, stored)
	}
}

// An outcome that is too large is told with less in it.
func TestTooMuchToTell(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": `for i in {1..60}; do printf 'K%d=' $i; printf 'é%.0s' {1..2000}; echo; done >>$CEMLI_OUTPUT; ` +
			`printf 'x%.0s' {1..60000} >$CEMLI_SUMMARY`,
	}, "1")
	w := &work{runner: b.runner(), job: b.job, log: b.config.Log, masker: redact.New(nil), kill: time.Now().Add(time.Minute)}
	w.base, w.box = t.Context(), b.box
	o := b.run()
	for range 600 {
		o.Artifacts = append(o.Artifacts, jobs.Artifact{Name: strings.Repeat("é", 9000), Withheld: "it is too large"})
	}
	b.box = &box{objects: map[string][]byte{}}
	w.box = b.box
	doc, err := w.tell(o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := jobs.DecodeAnswer(doc)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jobs.DecodeOutcome(a.Outcome)
	if err == nil {
		err = jobs.Check(b.job, got)
	}
	if err != nil || trail(got) != "1 success" || got.Summary != "" {
		t.Errorf("%v: %s", err, trail(got))
	}
}

// Whatever panics, the job has an outcome, and nothing more is run by this program.
func TestPanics(t *testing.T) {
	files := func() map[string]string {
		return map[string]string{
			"1": "echo one", "u1": "echo u1", "2": "echo two; exit 1", "u2": "echo u2", "3": "echo three", "u3": "echo u3",
		}
	}
	const undone = "undo not_run, u2 not_run, u1 not_run"
	for name, c := range map[string]struct {
		change func(b *bench)
		want   string
	}{
		"in the first script": {
			func(b *bench) { b.panicAt(1) },
			"1 interrupted, 2 not_run, 3 not_run, undo not_run, u1 not_run",
		},
		"in the second":    {func(b *bench) { b.panicAt(2) }, "1 success, 2 interrupted, 3 not_run, " + undone},
		"in the undo":      {func(b *bench) { b.panicAt(3) }, "1 success, 2 failed, 3 not_run, undo interrupted, u2 interrupted, u1 not_run"},
		"in the last undo": {func(b *bench) { b.panicAt(4) }, "1 success, 2 failed, 3 not_run, undo interrupted, u2 success, u1 interrupted"},
		"before":           {func(b *bench) { b.config.Enter = func() func() { panic("here") } }, "refused runner.internal"},
		"after": {
			func(b *bench) { b.config.Enter = func() func() { return func() { panic("here") } } },
			"1 success, 2 failed, 3 not_run, undo success, u2 success, u1 success",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, files(), "1", "2", "3")
			c.change(b)
			o := b.run()
			b.hasLogs(o)
			if trail(o) != c.want || len(b.doubts) == 0 {
				t.Errorf("%s\nwant %s; doubts %v", trail(o), c.want, b.doubts)
			}
		})
	}
	b := newBench(t, hello(), "1")
	b.box.put = func(name string) error {
		if name != jobs.MailBegun {
			panic("in the mailbox")
		}
		return nil
	}
	b.is(b.run(), jobs.Complete, "1 success")
}

// panicAt has the n-th script that is started panic.
func (b *bench) panicAt(n int32) {
	var started atomic.Int32
	b.config.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		if started.Add(1) == n {
			panic("in the sandbox, of " + secret[:5])
		}
		return sandbox.Run(ctx, c)
	}
}

// What is left of a job is doubted by those who know, and the next job is not begun.
func TestASurvivor(t *testing.T) {
	b := newBench(t, hello(), "1")
	b.config.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		o, _ := sandbox.Run(ctx, c)
		b.config.Doubt("a process survives")
		return o, problem.New(problem.Problem{Code: "sandbox.survivor", Message: "a process survives"}, nil)
	}
	r := b.runner()
	a, err := b.serve(r)
	if err != nil || !strings.Contains(string(a.Outcome), "sandbox.survivor") {
		t.Fatalf("%+v, %v", a, err)
	}
	b.box = &box{objects: map[string][]byte{}}
	if a, err := b.serve(r); err != nil || a.Says != jobs.AnswersRefused || len(b.box.trail) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
}
