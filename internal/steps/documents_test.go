package steps_test

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

const someJob = "0123456789abcdef0123456789abcdef"

// sent is a job as it arrives at a runner.
func sent(t *testing.T, j steps.Job) jobs.Job {
	t.Helper()
	j.World.RunID, j.World.Package = "20261127T115900Z-sample-0123456789ab", "sample"
	j.World.Version, j.World.Type, j.World.Environment = "1.0.0", "extension", "test"
	switch {
	case j.Undo == steps.UndoOnly:
		j.World.Action = jobs.ActionRollback
	case j.World.DryRun:
		j.World.Action = jobs.ActionDryRun
	default:
		j.World.Action = jobs.ActionApply
	}
	a := steps.Apart{
		Job: someJob, Attempt: 1,
		SHA256: strings.Repeat("a", 64), Size: 1, DirHash: "h1:" + strings.Repeat("A", 43) + "=",
		StopAt: time.Now().Add(time.Minute), KillAt: time.Now().Add(time.Hour), Store: time.Second,
		AcceptInit: true,
		Mailbox:    "https://example.com/p/abcdefghijklmnop/n/ns/b/jobs/o/" + someJob + "/",
	}
	a.Mask = []string{"short"}
	for _, s := range j.Secrets {
		a.Mask = append(a.Mask, s.Value)
	}
	call, err := j.Document(a).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := jobs.DecodeJob(call)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// apart fails if an outcome would be another one if a runner had sent it, or would be refused.
func (b *bench) apart(o steps.Outcome, failure error, left steps.Left) {
	b.t.Helper()
	cancelled := problem.CodeOf(failure) == "step.cancelled"
	doc, err := o.Document(someJob, cancelled, left, jobs.Runner{Kind: "function"}).Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := jobs.DecodeOutcome(doc)
	if err == nil {
		err = jobs.Check(sent(b.t, b.job), d)
	}
	if err != nil {
		b.t.Errorf("%v\n%s", err, doc)
		return
	}
	got, told := b.job.Told(d)
	ignored := cmpopts.IgnoreFields(steps.Outcome{}, "Outputs") // they are masked
	if diff := cmp.Diff(o, got, ignored); diff != "" {
		b.t.Errorf("what a runner tells (-was +told):\n%s", diff)
	}
	if want := b.here.Masker.Values(o.Outputs); !cmp.Equal(want, got.Outputs, cmpopts.EquateEmpty()) {
		b.t.Errorf("outputs %v; told %v", want, got.Outputs)
	}
	if diff := cmp.Diff(described(failure), described(told)); diff != "" {
		b.t.Errorf("the failure that a runner tells (-was +told):\n%s", diff)
	}
	if errors.Is(failure, steps.ErrNoTime) != errors.Is(told, steps.ErrNoTime) {
		b.t.Errorf("%v; told %v", failure, told)
	}
}

// described is an error as a result has it.
func described(err error) *evidence.Error {
	if err == nil {
		return nil
	}
	unknown := problem.Problem{Code: "step.start", Message: "the script could not be started", Hint: "see the log"}
	return evidence.NewError(problem.Of(err, unknown)) // what has no code is for the log
}

// A runner has all that decides what happens.
func TestAJobArrivesWhole(t *testing.T) {
	digest := func(letter string) string { return strings.Repeat(letter, 64) }
	j := steps.Job{
		World: steps.World{
			RunID: "20261127T115900Z-sample-0123456789ab", Package: "sample", Version: "1.0.0", Type: "extension",
			Environment: "test", Action: "apply", Fence: "17",
		},
		Plan: []steps.Step{
			{
				Name: "look", Run: "look.sh", SHA256: digest("1"), Phase: manifest.PhasePreCheck, Do: steps.Skip,
				Outputs: map[string]string{"A": "b"},
			},
			{
				Name: "apply", Run: "apply.sh", SHA256: digest("2"), Phase: manifest.PhaseRun, Args: []string{"-v"},
				Env: map[string]string{"B": "c"}, Secrets: []string{}, Timeout: time.Minute, Retries: 2,
				RetryDelay: time.Second, ContinueOnError: true, Undo: "undo.sh", UndoSHA256: digest("3"), Do: steps.Run,
			},
			{
				Name: "save", Run: "save.sh", SHA256: digest("4"), Phase: manifest.PhaseRun, Secrets: []string{"TOKEN"},
				NoUndo: true, Do: steps.Run,
			},
			{Name: "test", Run: "test.sh", SHA256: digest("5"), Phase: manifest.PhasePostCheck},
		},
		Undo: steps.UndoOnFailure, Tools: []string{"jq"}, Level: sandbox.LevelIsolated, Network: true,
		Arguments: []steps.Variable{{Name: "LEDGER", Value: "1"}, {Name: "MODE", Value: ""}},
		Secrets:   []steps.Variable{{Name: "TOKEN", Value: "tiger-tiger"}},
		Outputs:   map[string]string{"X": "y"}, Keep: []string{"*.csv"},
		Restored: []evidence.Artifact{{Name: "a/b", Size: 3, SHA256: digest("6"), Object: "in/1"}},
		Times:    steps.Times{Steps: time.Hour, Kept: time.Minute, Undo: 2 * time.Minute},
		Limits:   steps.Limits{LogBytes: 1 << 20, Artifacts: 10, ArtifactBytes: 1 << 20},
	}
	if diff := cmp.Diff(j, steps.FromDocument(sent(t, j))); diff != "" {
		t.Errorf("(-sent +arrived):\n%s", diff)
	}
	j.Undo, j.World.Action, j.Plan = steps.UndoOnly, "rollback", j.Plan[1:3]
	j.Plan[0].Do, j.Plan[1].Do = steps.Revert, steps.Undone
	if diff := cmp.Diff(j, steps.FromDocument(sent(t, j))); diff != "" {
		t.Errorf("(-sent +arrived):\n%s", diff)
	}
	j.Plan[0].Timeout, j.Plan[0].Secrets = time.Nanosecond, nil
	if s := steps.FromDocument(sent(t, j)).Plan[0]; s.Timeout != time.Millisecond || s.Secrets != nil {
		t.Errorf("%s, %v: a little time is not none, and all secrets are not none of them", s.Timeout, s.Secrets)
	}
}

// Whether the policy accepts the gap is for the runner to know, and not for the steps.
func TestAJobSaysWhatThePolicyAccepts(t *testing.T) {
	if !sent(t, steps.Job{Level: sandbox.LevelBasic}).AcceptInit {
		t.Error("the runner does not learn that the policy accepts the gap init")
	}
}

// What a manifest may say fits into a job: its bounds are none of the job's own.
func TestWhatIsAdmittedFits(t *testing.T) {
	long, parameter, secret := strings.Repeat("é", 16_384), strings.Repeat("P", 64), strings.Repeat("S", 128)
	m, err := manifest.Parse([]byte(`{"name":"` + strings.Repeat("n", 63) + `","type":"configuration",` +
		`"version":"1.0.0-` + strings.Repeat("v", 122) + `","tools":["` + strings.Repeat("t", 64) + `"],` +
		`"parameters":{"` + parameter + `":{"type":"string","default":"` + long + `"}},` +
		`"secrets":{"` + secret + `":{"vault_secret":"x"}},` +
		`"outputs":["` + strings.Repeat("o", 255) + `"],"timeout":"24h","rollback_timeout":"24h","steps":[{` +
		`"name":"` + strings.Repeat("s", 100) + `","run":"` + strings.Repeat("r", 255) + `","args":["` + long + `"],` +
		`"env":{"` + strings.Repeat("E", 128) + `":"` + long + `"},"secrets":["` + secret + `"],` +
		`"timeout":"24h","retries":{"max":10,"delay":"24h"},"rollback":"` + strings.Repeat("u", 255) + `"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	s := m.StepList[0]
	j := steps.Job{
		Level: sandbox.LevelFull, Tools: m.Tools, Keep: m.Outputs,
		Arguments: []steps.Variable{{Name: parameter, Value: m.Parameters[parameter].Default.Text()}},
		Secrets:   []steps.Variable{{Name: secret, Value: strings.Repeat("x", 32<<10)}},
		Times:     steps.Times{Steps: m.Timeout, Kept: m.RollbackTimeout, Undo: m.RollbackTimeout},
		Limits:    steps.Limits{LogBytes: 1 << 30, Artifacts: 100_000, ArtifactBytes: 10 << 30},
		Plan: []steps.Step{{
			Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: strings.Repeat("a", 64), Args: s.Args, Env: s.Env,
			Secrets: s.Secrets, Timeout: s.Timeout, Retries: s.Retries, RetryDelay: s.RetryDelay,
			Undo: s.Rollback, UndoSHA256: strings.Repeat("b", 64), Do: steps.Run,
		}},
	}
	arrived := steps.FromDocument(sent(t, j))
	if diff := cmp.Diff(j.Plan, arrived.Plan); diff != "" || arrived.Times != j.Times || arrived.Limits != j.Limits {
		t.Errorf("%v %v (-sent +arrived):\n%s", arrived.Times, arrived.Limits, diff)
	}
	for i, level := range sandbox.Levels {
		if jobs.Levels[i] != string(level) || len(jobs.Levels) != len(sandbox.Levels) {
			t.Errorf("levels %v", jobs.Levels)
		}
	}
}

// What is left of an outcome that a runner tells is the same, whatever happened; bench holds all others to it, too.
func TestOutcomesAreToldAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		contents map[string]string
		prepare  func(*bench)
		code     string
	}{
		"a retry, outputs, changes": {map[string]string{
			"1": `[ $CEMLI_ATTEMPT = 2 ] || exit 1; echo A=tiger-tiger >$CEMLI_OUTPUT; echo x >new`, "2": "true",
		}, func(b *bench) { b.job.Plan[0].Retries = 1 }, ""},
		"a failure that may be": {map[string]string{"1": "exit 1", "2": "true"}, func(b *bench) {
			b.job.Plan[0].ContinueOnError = true
		}, ""},
		"one of the last step": {map[string]string{"1": "true", "2": "exit 1"}, func(b *bench) {
			b.job.Plan[1].ContinueOnError = true
		}, ""},
		"a script that was changed": {map[string]string{"1": "echo >>2", "u1": "", "2": "true"}, nil, "step.modified"},
		"an undo that was changed":  {map[string]string{"1": "echo >>u1", "u1": "", "2": "exit 1"}, nil, "step.failed"},
		"an undo that fails":        {map[string]string{"1": "", "u1": "exit 7", "2": "exit 1"}, nil, "step.failed"},
		"a signal":                  {map[string]string{"1": "", "2": "kill -9 $$"}, nil, "step.failed"},
		"a step's time ends": {map[string]string{"1": "sleep 10", "2": "", "u1": ""}, func(b *bench) {
			b.job.Plan[0].Timeout = 100 * time.Millisecond
		}, "step.timeout"},
		"the time ends in one that may fail": {map[string]string{"1": "sleep 60", "2": "", "u1": ""}, func(b *bench) {
			b.job.Plan[0].ContinueOnError, b.job.Times.Steps = true, 2*time.Second
		}, "step.timeout"},
		"no time for the second": {map[string]string{"1": "sleep 60", "2": "", "u1": ""}, func(b *bench) {
			b.time = steps.Grace + 2*time.Second
			b.job.Plan[0].ContinueOnError = true
		}, "step.timeout"},
		"no time at all": {map[string]string{"1": "", "2": ""}, func(b *bench) {
			b.time = steps.Grace
		}, "step.deadline"},
		"a tool": {map[string]string{"1": "", "2": ""}, func(b *bench) {
			b.job.Tools = []string{"no-such"}
		}, "step.tool"},
		"a journal that refuses": {map[string]string{"1": "", "2": ""}, func(b *bench) {
			b.stop = problem.New(problem.Problem{Code: "runner.mailbox", Message: "it is withdrawn"}, nil)
		}, "runner.mailbox"},
		"bad outputs": {map[string]string{"1": "echo x >$CEMLI_OUTPUT", "u1": "", "2": ""}, nil, "step.output"},
		"a dry run": {map[string]string{"1": "", "2": ""}, func(b *bench) {
			b.job.World.DryRun, b.job.Undo, b.job.Plan[1].Do = true, steps.UndoNever, steps.Leave
		}, ""},
		"going on": {map[string]string{"1": "", "2": "exit 1", "u1": ""}, func(b *bench) {
			b.job.Plan[0].Do, b.job.Plan[0].Outputs = steps.Skip, map[string]string{"A": "b"}
		}, "step.failed"},
		"a rollback": {map[string]string{"1": "", "u1": "exit 1", "2": "", "u2": ""}, func(b *bench) {
			b.job.Undo, b.job.Plan[0].Do, b.job.Plan[1].Do = steps.UndoOnly, steps.Revert, steps.Undone
		}, "step.failed"},
		"nothing to roll back": {map[string]string{"1": "", "2": ""}, func(b *bench) {
			b.job.Undo, b.job.Plan[0].Do, b.job.Plan[1].Do = steps.UndoOnly, steps.Leave, steps.Revert
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.contents, "1", "2")
			b.here.Masker, b.job.Undo = redact.New([]string{"tiger-tiger"}), steps.UndoOnFailure
			if c.prepare != nil {
				c.prepare(b)
			}
			if _, err := b.run(); problem.CodeOf(err) != c.code {
				t.Errorf("%v; want %q", err, c.code)
			}
		})
	}
}

// A job that is ended while a script runs says which one.
func TestAJobThatIsEnded(t *testing.T) {
	b := newBench(t, map[string]string{"1": "", "u1": "", "2": "sleep 60"}, "1", "2")
	b.job.Undo = steps.UndoOnFailure
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b.here.Spawn = func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		if c.ScriptPath == "2" {
			cancel()
		}
		return sandbox.Run(ctx, c)
	}
	o, err := b.runIn(ctx)
	if !o.Stopped || problem.CodeOf(err) != "step.interrupted" {
		t.Errorf("%+v, %v", o, err)
	}
	b.apart(o, err, steps.Left{})
}

// A job for which hundreds of tools are missing is refused as far as people read it.
func TestManyRefusalsAreLimited(t *testing.T) {
	b := newBench(t, map[string]string{"1": ""}, "1")
	for i := range 1000 {
		b.job.Tools = append(b.job.Tools, "no-such-"+strconv.Itoa(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o, err := b.runIn(ctx)
	d := o.Document(someJob, false, steps.Left{}, jobs.Runner{Kind: "function"})
	if _, encodeErr := d.Encode(); encodeErr != nil || len(d.Refused) != problem.Most+1 {
		t.Errorf("%d problems, %v", len(d.Refused), encodeErr)
	}
	if _, told := b.job.Told(d); problem.CodeOf(err) != "step.tool" || problem.CodeOf(told) != "step.tool" {
		t.Errorf("%v; told %v", err, told)
	}
}

// What is counted is told as far as all readers of JSON agree on numbers.
func TestLimitsThatAreNone(t *testing.T) {
	l := sandbox.Layers{Limits: sandbox.Limits{FileBytes: math.MaxInt64, OpenFiles: 256}}
	d := steps.Outcome{Layers: l}.Document(someJob, true, steps.Left{}, jobs.Runner{Kind: "host"})
	if _, err := d.Encode(); err != nil || d.Sandbox.Layers.Limits.OpenFiles != 256 {
		t.Errorf("%v, %+v", err, d.Sandbox)
	}
}

// What scripts leave has a number in the mailbox, unless it was withheld or restored.
func TestArtifactsAreNumbered(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": `cd $CEMLI_ARTIFACTS; echo a >a; echo tiger-tiger >b; echo c >c; echo "# done" >$CEMLI_SUMMARY`,
	}, "1")
	b.here.Masker = redact.New([]string{"tiger-tiger"})
	o, err := b.run()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	keep := func(_ io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		n++
		a.Object = jobs.MailArtifacts + string(rune('0'+n))
		return a, nil
	}
	found, err := b.here.Collect(t.Context(), b.job, time.Now().Add(time.Minute), keep)
	if err != nil {
		t.Fatal(err)
	}
	left := steps.Left{Summary: b.here.Summary(), Artifacts: found}
	b.apart(o, nil, left)
	var numbers []int
	for _, a := range o.Document(someJob, false, left, jobs.Runner{Kind: "host"}).Artifacts {
		numbers = append(numbers, a.N)
	}
	if !slices.Equal(numbers, []int{1, 0, 2}) {
		t.Errorf("numbers %v", numbers)
	}
}
