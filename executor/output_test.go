package executor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"

	"github.com/google/go-cmp/cmp"
)

// A script that logs through a program of its own has its last lines in the evidence, in the log and
// in the artifact.
func TestTheLogOfALogger(t *testing.T) {
	for range 10 {
		b := newBench(t)
		r := b.ran(files{
			"steps/1.sh": `exec > >(tee -a "$CEMLI_ARTIFACTS/run.log") 2>&1; echo begin; echo oops >&2; ` +
				`ls /nonexistent; echo "the last line"; exit 1`,
		})
		log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log)
		if r.Status != evidence.StatusFailed || !strings.HasPrefix(log, "begin\noops\n") ||
			!strings.HasSuffix(log, "\nthe last line\n") || r.Steps[0].Truncated {
			t.Fatalf("status %s, log %q", r.Status, log)
		}
		if len(r.Artifacts) != 1 || b.object(evidence.Dir(r.RunID)+r.Artifacts[0].Object) != log {
			t.Fatalf("artifacts %+v", r.Artifacts)
		}
	}
}

// What holds the output of a script that has ended costs two seconds.
func TestADaemonCostsTheGrace(t *testing.T) {
	r := newBench(t).ran(files{"steps/1.sh": `sleep 100 & echo done`})
	if s := r.Steps[0]; r.Status != evidence.StatusSuccess || s.DurationMS < 1900 || s.DurationMS > 20_000 ||
		s.StdoutTail != "done\n" {
		t.Errorf("status %s, %+v", r.Status, s)
	}
	r = newBench(t).ran(with(`"steps":[{"run":"1.sh","timeout":"300ms"}]`, files{"1.sh": `sleep 100 & echo done`}))
	if s := r.Steps[0]; r.Status != evidence.StatusSuccess || s.DurationMS > 1900 {
		t.Errorf("with a timeout: status %s, %+v", r.Status, s)
	}
}

// Beside each log is when what is in it came.
func TestTimesOfALog(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"steps":[{"run":"1.sh","retries":{"max":1,"delay":"10ms"}}]`, files{
		"1.sh": `echo one; sleep 0.3; echo two >&2; [ $CEMLI_ATTEMPT = 2 ]`,
	}))
	log := b.object(evidence.Dir(r.RunID) + "steps/01-1.log")
	times, err := evidence.DecodeTimes([]byte(b.object(evidence.Dir(r.RunID) + "steps/01-1.times.json")))
	if err != nil || len(times.Moments) < 4 {
		t.Fatalf("%+v, %v", times, err)
	}
	var parts []string // of one stream after the other, however many moments they took
	for i, m := range times.Moments {
		end := int64(len(log))
		if i+1 < len(times.Moments) {
			end = times.Moments[i+1].Offset
		}
		if i > 0 && times.Moments[i-1].Stream == m.Stream {
			parts[len(parts)-1] += log[m.Offset:end]
			continue
		}
		parts = append(parts, string(m.Stream)+" "+log[m.Offset:end])
	}
	want := []string{
		"stdout one\n", "stderr two\n[cemli] attempt 2 of 2, as the one before ended with failed\n", "stdout one\n",
		"stderr two\n",
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if gap := times.Moments[1].MS - times.Moments[0].MS; gap < 290 || gap > 30_000 {
		t.Errorf("%+v", times.Moments)
	}
}

// The report for tools that show tests says what the result says, also of a script that exited with 0.
func TestJUnitOfOutputThatCannotBeUsed(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{"steps/1.sh": `echo nonsense >$CEMLI_OUTPUT`})
	report := b.object(evidence.Dir(r.RunID) + "junit.xml")
	if s := r.Steps[0]; s.Error == nil || s.Error.Code != "step.output" ||
		!strings.Contains(report, `type="step.output"`) || !strings.Contains(report, "cannot be used") ||
		strings.Contains(report, "exited with") {
		t.Errorf("error %+v\n%s", s.Error, report)
	}
	b = newBench(t)
	r = b.ran(with(`"steps":[{"run":"1.sh","continue_on_error":true},{"run":"2.sh"}]`,
		files{"1.sh": "exit 3", "2.sh": ""}))
	if s := r.Steps; s[0].Error == nil || s[0].Error.Code != "step.failed" || s[1].Error != nil {
		t.Errorf("%+v", s)
	}
}

// pretends makes a bench whose scripts end as outcome says, without being run.
func pretends(t *testing.T, outcome sandbox.Outcome) *bench {
	b := newBench(t)
	b.config.Spawn = func(context.Context, sandbox.Command) (sandbox.Outcome, error) { return outcome, nil }
	return b
}

func TestTooManyProcesses(t *testing.T) {
	outcome := sandbox.Outcome{
		Start: time.Now(), ExitCode: -1, Signal: "SIGKILL", Crowded: true,
		Layers: sandbox.Layers{
			NoNewPrivileges: true, Seccomp: true, Watched: true, Limits: sandbox.Limits{Processes: 22},
		},
	}
	r := pretends(t, outcome).ran(with(`"steps":[{"run":"1.sh","rollback":"u.sh"}]`, files{"1.sh": "", "u.sh": ""}))
	if code(r) != "step.processes" || r.Rollback == nil || r.Status != evidence.StatusFailed ||
		!strings.Contains(r.Message, "22 processes") {
		t.Errorf("status %s, %+v, %q", r.Status, r.Error, r.Message)
	}
	if !slices.Contains(r.Sandbox.Gaps, "processes") {
		t.Errorf("gaps %v", r.Sandbox.Gaps)
	}
}

// However the machine's clock is set during a run, durations are what they were, and nothing ends
// before it began.
func TestDurationsDoNotGoByTheClock(t *testing.T) {
	b := pretends(t, sandbox.Outcome{})
	set := time.Duration(0)
	b.config.Clock = func() time.Time { return time.Now().Add(set) }
	b.config.Spawn = func(context.Context, sandbox.Command) (sandbox.Outcome, error) {
		start := time.Now().Add(set)
		set -= time.Hour
		return sandbox.Outcome{Start: start, Took: 1500 * time.Millisecond}, nil
	}
	r := b.ran(files{"steps/1.sh": ""})
	if s := r.Steps[0]; s.DurationMS != 1500 || s.End.Sub(*s.Start) != 1500*time.Millisecond {
		t.Errorf("a step from %s to %s of %d ms", s.Start, s.End, s.DurationMS)
	}
	if took := r.End.Sub(r.Start); took < 0 || took > 10*time.Minute {
		t.Errorf("a run of %s", took)
	}
}
