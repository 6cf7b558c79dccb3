package steps_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/testkit"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// TestMain lets the sandbox start this program anew.
func TestMain(m *testing.M) {
	sandbox.Dispatch()
	os.Exit(m.Run())
}

// bench runs jobs in a folder that has a package's files.
type bench struct {
	t     *testing.T
	here  steps.Here
	job   steps.Job
	told  []string          // by the journal
	logs  map[string]string // by their names
	stop  error             // what the journal says when a step begins
	begun []steps.Beginning
	time  time.Duration // that there is
	// cancel is called with the journal's first line of a step; cancelled is what the journal has.
	cancel    func(line string)
	cancelled chan struct{}
}

// newBench has a step of the phase run for each script that is named, in that order; what is named u… after
// it is its undo.
func newBench(t *testing.T, contents map[string]string, scripts ...string) *bench {
	t.Helper()
	user, _ := sandbox.User(sandbox.LevelBasic)
	dir, err := workdir.Make(filepath.Join(testkit.TempDir(t), "work"), user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Remove() })
	b := &bench{t: t, logs: map[string]string{}, time: time.Minute}
	b.here = steps.Here{Dir: dir, Files: map[string]steps.File{}, Masker: redact.New(nil)}
	for name, text := range contents {
		path := dir.Path(workdir.Package + "/" + name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(text))
		b.here.Files[name] = steps.File{Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
	}
	if err := dir.Give(); err != nil {
		t.Fatal(err)
	}
	b.job = steps.Job{
		Level: sandbox.LevelBasic, Network: true, Times: steps.Times{Undo: time.Minute},
		Limits: steps.Limits{LogBytes: 1 << 20, Artifacts: 100, ArtifactBytes: 1 << 20},
	}
	for _, name := range scripts {
		s := steps.Step{
			Name: name, Phase: manifest.PhaseRun, Run: name, SHA256: b.here.Files[name].SHA256, Do: steps.Run,
		}
		if undo, ok := b.here.Files["u"+name]; ok {
			s.Undo, s.UndoSHA256 = "u"+name, undo.SHA256
		}
		b.job.Plan = append(b.job.Plan, s)
	}
	return b
}

// run runs the job.
func (b *bench) run() (steps.Outcome, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), b.time)
	defer cancel()
	o, err := b.runIn(ctx)
	b.apart(o, err, steps.Left{})
	return o, err
}

func (b *bench) runIn(ctx context.Context) (steps.Outcome, error) {
	journal := steps.Journal{
		Begins: func(_ context.Context, begins steps.Beginning) error {
			b.begun = append(b.begun, begins)
			return b.stop
		},
		Ended: func(s evidence.Step, log steps.Log) {
			b.told = append(b.told, s.Name+" "+string(s.Status))
			b.logs[log.Name] = b.text(log.File)
		},
		Tolerated: func(step string, failure error) {
			b.told = append(b.told, step+" may "+problem.CodeOf(failure))
		},
		Cancelled: b.cancelled,
	}
	if b.cancel != nil {
		journal.Lines = func(string, evidence.Stream) func([]string) {
			return func(lines []string) { b.cancel(lines[0]) }
		}
	}
	return b.here.Run(ctx, b.job, journal)
}

func (b *bench) text(f io.ReadSeeker) string {
	defer f.(io.Closer).Close()
	_, err := f.Seek(0, io.SeekStart)
	text, readErr := io.ReadAll(f)
	if err := errors.Join(err, readErr); err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// trail lists the steps of an outcome and of its undo with how they ended.
func trail(o steps.Outcome) string {
	var list []string
	for _, s := range o.Steps {
		list = append(list, s.Name+" "+string(s.Status))
	}
	if o.Rollback != nil {
		list = append(list, "undo "+string(o.Rollback.Status))
		for _, s := range o.Rollback.Steps {
			list = append(list, s.Run+" "+string(s.Status))
		}
	}
	return strings.Join(list, ", ")
}

func TestAJobIsDoneInItsOrder(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": `echo "A=$CEMLI_PARAM_P" >>$CEMLI_OUTPUT; echo "one for $CEMLI_RUN_ID"`,
		"2": `echo "$CEMLI_OUT_A, $TOKEN"`,
		"3": `echo "[${TOKEN-none}]"`,
	}, "1", "2", "3")
	b.job.World.RunID = "run-7"
	b.job.Arguments = []steps.Variable{{Name: "P", Value: "given"}}
	b.job.Secrets = []steps.Variable{{Name: "TOKEN", Value: "tiger-tiger"}}
	b.here.Masker = redact.New([]string{"tiger-tiger"})
	b.job.Plan[2].Secrets = []string{}
	o, err := b.run()
	if err != nil || trail(o) != "1 success, 2 success, 3 success" || !o.Began || o.Outputs["A"] != "given" {
		t.Fatalf("%s, %v, %v", trail(o), o.Outputs, err)
	}
	want := map[string]string{
		"steps/01-1.log": "one for run-7\n", "steps/02-2.log": "given, ***\n", "steps/03-3.log": "[none]\n",
	}
	if diff := cmp.Diff(want, b.logs); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if o.Layers.Level() == sandbox.LevelNone || o.Steps[1].Log != "steps/02-2.log" {
		t.Errorf("layers %+v, log %s", o.Layers, o.Steps[1].Log)
	}
}

func TestWhatIsNotToBeRun(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo 1", "2": "echo 2", "3": `echo "$CEMLI_OUT_A"`}, "1", "2", "3")
	b.job.Plan[0].Do, b.job.Plan[0].Outputs = steps.Skip, map[string]string{"A": "before"}
	b.job.Plan[1].Do = steps.Leave
	o, err := b.run()
	if err != nil || trail(o) != "1 skipped, 2 not_run, 3 success" || b.logs["steps/03-3.log"] != "before\n" {
		t.Errorf("%s, %v, %v", trail(o), b.logs, err)
	}
}

func TestAFailureIsUndone(t *testing.T) {
	contents := map[string]string{"1": "", "2": "exit 3", "3": "", "u1": "echo undone", "u2": "exit 0", "u3": "exit 1"}
	for undo, want := range map[steps.Undo]string{
		steps.UndoNever:     "1 success, 2 failed, 3 not_run",
		steps.UndoOnFailure: "1 success, 2 failed, 3 not_run, undo success, u2 success, u1 success",
	} {
		b := newBench(t, contents, "1", "2", "3")
		b.job.Undo = undo
		o, err := b.run()
		if problem.CodeOf(err) != "step.failed" || trail(o) != want {
			t.Errorf("%q: %s, %v; want %s", undo, trail(o), err, want)
		}
	}
}

func TestAnUndoThatFailsIsTheLast(t *testing.T) {
	b := newBench(t, map[string]string{"1": "", "2": "", "3": "exit 3", "u1": "", "u2": "exit 5"}, "1", "2", "3")
	b.job.Undo = steps.UndoOnFailure
	o, _ := b.run()
	if trail(o) != "1 success, 2 success, 3 failed, undo failed, u2 failed, u1 not_run" || o.Rollback.Error == nil {
		t.Errorf("%s, %+v", trail(o), o.Rollback)
	}
	if diff := cmp.Diff([]string{"3"}, o.Rollback.WithoutUndo); diff != "" {
		t.Errorf("without undo (-want +got):\n%s", diff)
	}
}

func TestAnEarlierRunIsUndone(t *testing.T) {
	b := newBench(t, map[string]string{"1": "", "2": "", "3": "", "u1": `echo "$CEMLI_OUT_A"`, "u2": "", "u3": ""}, "1",
		"2", "3")
	b.job.Undo, b.job.Outputs = steps.UndoOnly, map[string]string{"A": "of that run"}
	for i, do := range []steps.Do{steps.Revert, steps.Undone, steps.Leave} {
		b.job.Plan[i].Do = do
	}
	o, err := b.run()
	if err != nil || trail(o) != "1 not_run, 2 not_run, 3 not_run, undo success, u2 skipped, u1 success" {
		t.Errorf("%s, %v", trail(o), err)
	}
	if b.logs["steps/04-rollback-1.log"] != "of that run\n" {
		t.Errorf("logs %v", b.logs)
	}
}

func TestRetriesAndWhatMayFail(t *testing.T) {
	b := newBench(t, map[string]string{"1": `[ $CEMLI_ATTEMPT = 2 ]`, "2": "exit 4", "3": ""}, "1", "2", "3")
	b.job.Plan[0].Retries, b.job.Plan[1].ContinueOnError = 2, true
	o, err := b.run()
	if err != nil || trail(o) != "1 success, 2 failed, 3 success" || o.Steps[0].Attempts != 2 {
		t.Errorf("%s, %+v, %v", trail(o), o.Steps[0], err)
	}
	if diff := cmp.Diff([]string{"1 success", "2 failed", "2 may step.failed", "3 success"}, b.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// Before a step begins, the journal learns the outcome that is right if nothing more is ever heard.
func TestTheJournalIsToldBefore(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo printed", "2": "exit 1", "3": "", "u1": ""}, "1", "2", "3")
	b.job.Undo = steps.UndoOnFailure
	if _, err := b.run(); problem.CodeOf(err) != "step.failed" {
		t.Fatal(err)
	}
	var got []string
	for _, begins := range b.begun {
		got = append(got, fmt.Sprintf("%d %s: %s", begins.Number, begins.Step.Run, trail(begins.Interrupted)))
	}
	want := []string{
		"1 1: 1 interrupted, 2 not_run, 3 not_run",
		"2 2: 1 success, 2 interrupted, 3 not_run",
		"4 u1: 1 success, 2 failed, 3 not_run, undo interrupted, u1 interrupted",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if tail := b.begun[1].Interrupted.Steps[0].StdoutTail; tail != "" {
		t.Errorf("with what was printed: %q", tail)
	}
}

func TestTheJournalMayStopAJob(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo ran", "2": ""}, "1", "2")
	b.stop = errors.New("the lease is lost")
	o, err := b.run()
	if !errors.Is(err, b.stop) || trail(o) != "1 not_run, 2 not_run" || o.Began || len(b.logs) != 0 {
		t.Errorf("%s, logs %v, %v", trail(o), b.logs, err)
	}
}

// A job that resumes an earlier run, and cannot begin, leaves that run as it is, so that it can be tried again.
func TestNothingIsUndoneWhereNothingBegan(t *testing.T) {
	b := newBench(t, map[string]string{"1": "", "2": "", "u1": "echo undone", "u2": ""}, "1", "2")
	b.job.Undo, b.job.Plan[0].Do = steps.UndoOnFailure, steps.Skip
	b.stop = errors.New("the store is out of reach")
	o, err := b.run()
	if !errors.Is(err, b.stop) || trail(o) != "1 skipped, 2 not_run" || len(b.begun) != 1 {
		t.Errorf("%s, asked %d times, %v", trail(o), len(b.begun), err)
	}
}

func TestWithoutTimeNothingBegins(t *testing.T) {
	b := newBench(t, map[string]string{"1": ""}, "1")
	b.time = steps.Grace
	if o, err := b.run(); !errors.Is(err, steps.ErrNoTime) || o.Began || len(b.begun) != 0 {
		t.Errorf("%s, %v", trail(o), err)
	}
}

func TestTimeIsKeptForTheUndo(t *testing.T) {
	b := newBench(t, map[string]string{"1": "sleep 100", "u1": "echo undone"}, "1")
	b.job.Undo = steps.UndoOnFailure
	b.time, b.job.Times.Kept = 40*time.Second, 35*time.Second
	o, err := b.run()
	if problem.CodeOf(err) != "step.timeout" || trail(o) != "1 timed_out, undo success, u1 success" {
		t.Errorf("%s, %v", trail(o), err)
	}
}

func TestAScriptThatAnEarlierOneChanged(t *testing.T) {
	for name, change := range map[string]string{
		"longer": "echo : >>2", "of the same size": "printf X >2", "a link": "ln -sf 1 2",
	} {
		b := newBench(t, map[string]string{"1": change, "2": ":"}, "1", "2")
		if o, err := b.run(); problem.CodeOf(err) != "step.modified" || trail(o) != "1 success, 2 not_run" {
			t.Errorf("%s: %s, %v", name, trail(o), err)
		}
	}
}

func TestCheckListsAllThatIsMissing(t *testing.T) {
	b := newBench(t, map[string]string{"1": "#!/no/such/shell\n", "u1": "#!/usr/bin/env no-such-program\n"}, "1")
	b.job.Tools = []string{"sh", "no-such-tool"}
	var refused *problem.Error
	if err := b.here.Check(b.job); !errors.As(err, &refused) || len(refused.Problems) != 3 {
		t.Fatalf("%v; want three problems", err)
	}
	for i, code := range []string{"step.interpreter", "step.interpreter", "step.tool"} {
		if refused.Problems[i].Code != code {
			t.Errorf("%+v; want %s", refused.Problems[i], code)
		}
	}
	if o, err := b.run(); err == nil || o.Began {
		t.Errorf("it was run: %s, %v", trail(o), err)
	}
}

// Values that scripts ask to be masked are masked in the outcome, and in everything else that uses the masker.
func TestScriptsAddMasks(t *testing.T) {
	b := newBench(t, map[string]string{
		"1": `echo token-4711 >>"$CEMLI_MASK"; echo token-4711; : >"name-token-4711";
echo "# token-4711" >$CEMLI_SUMMARY`,
	}, "1")
	o, err := b.run()
	if err != nil || b.logs["steps/01-1.log"] != "***\n" || b.here.Summary() != "# ***\n" ||
		b.here.Masker.String("token-4711") != redact.Mask {
		t.Errorf("log %v, summary %q, %v", b.logs, b.here.Summary(), err)
	}
	if diff := cmp.Diff([]string{"name-***"}, o.Steps[0].ChangedFiles); diff != "" {
		t.Errorf("changed files (-want +got):\n%s", diff)
	}
}

func TestCollect(t *testing.T) {
	b := newBench(t, map[string]string{"1": `echo new >out.csv; echo other >out.txt; echo changed >kept.csv
cd "$CEMLI_ARTIFACTS"; echo text >a; echo tiger-tiger >b; ln -s a c; head -c 2000000 /dev/zero >d; echo same >e;
mkdir f; echo deep >f/g`}, "1")
	b.here.Masker = redact.New([]string{"tiger-tiger"})
	b.job.Keep = []string{"*.csv"}
	same := sha256.Sum256([]byte("same\n"))
	b.job.Restored = []evidence.Artifact{{
		Name: "e", Run: "earlier", Object: "artifacts/e", Size: 5, SHA256: hex.EncodeToString(same[:]),
	}}
	if _, err := b.run(); err != nil {
		t.Fatal(err)
	}
	var got []string
	keep := func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return a, err
		}
		text, err := io.ReadAll(f)
		if a.Object = "kept: " + strings.TrimSpace(string(text)); int64(len(text)) != a.Size {
			t.Errorf("%+v has %d bytes", a, len(text))
		}
		return a, err
	}
	artifacts, err := b.here.Collect(t.Context(), b.job, time.Now().Add(time.Minute), keep)
	for _, a := range artifacts {
		got = append(got, strings.TrimSpace(a.Name+": "+a.Run+a.Object+a.Withheld))
	}
	want := []string{
		"a: kept: text", "b: it has a secret in it", "c: not a regular file",
		"d: 2000000 bytes are more than is left of the run's 1048576", "e: earlierartifacts/e", "f/g: kept: deep",
		"kept.csv: kept: changed", "out.csv: kept: new",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	failed := errors.New("out of reach")
	_, err = b.here.Collect(t.Context(), b.job, time.Now().Add(time.Minute),
		func(io.ReadSeeker, evidence.Artifact) (evidence.Artifact, error) {
			return evidence.Artifact{}, failed
		})
	if !errors.Is(err, failed) {
		t.Errorf("%v; want what keep said", err)
	}
	late, err := b.here.Collect(t.Context(), b.job, time.Now(), keep)
	if err != nil || len(late) != 2 || !strings.HasPrefix(late[0].Withheld, "no time was left") {
		t.Errorf("%+v, %v", late, err)
	}
}

// A job and its outcome survive encoding and decoding.
func TestPlainData(t *testing.T) {
	b := newBench(t, map[string]string{"1": "echo A=1 >$CEMLI_OUTPUT", "2": "exit 1", "u1": ""}, "1", "2")
	b.job.Undo, b.job.Arguments, b.job.Tools = steps.UndoOnFailure, []steps.Variable{{Name: "P", Value: "v"}},
		[]string{"sh"}
	o, err := b.run()
	if problem.CodeOf(err) != "step.failed" {
		t.Fatal(err)
	}
	again(t, b.job)
	again(t, o)
}

func again[T any](t *testing.T, value T) {
	t.Helper()
	doc, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var read T
	if err := json.Unmarshal(doc, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(value, read); diff != "" {
		t.Errorf("%T (-want +got):\n%s", value, diff)
	}
}
