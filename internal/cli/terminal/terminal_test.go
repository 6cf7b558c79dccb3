package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// speaking is a terminal, and what it says on each stream.
func speaking(t *testing.T, format string) (s *terminal.Terminal, stdout, stderr *bytes.Buffer) {
	t.Helper()
	t.Setenv("LC_ALL", "C")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	s = terminal.New(stdout, stderr)
	s.Format = format
	return s, stdout, stderr
}

// What a package says cannot move the cursor, or look like lines of the program.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"plain\tand Ünïcode": "plain\tand Ünïcode",
		"\x1b[31mred":        "\uFFFD[31mred",
		"a\r\nerror: b":      "a\uFFFD\uFFFDerror: b",
		"a\u2028b\u202Ec":    "a\uFFFDb\uFFFDc",
	} {
		if got := terminal.Visible(text); got != want {
			t.Errorf("%q is shown as %q; want %q", text, got, want)
		}
	}
}

func TestFormats(t *testing.T) {
	for format, valid := range map[string]bool{"text": true, "json": true, "yaml": false, "": false} {
		s, _, _ := speaking(t, format)
		if err := s.CheckFormat(); (err == nil) != valid || err != nil && terminal.ExitCode(err) != codes.ExitUsage {
			t.Errorf("-o %q: %v", format, err)
		}
	}
}

// An error says what happened, to what, and what to do here, where the function's hint is for its operators.
func TestErrors(t *testing.T) {
	tool := problem.Problem{
		Code: "step.tool", Where: "jq", Message: "there is no such program", Hint: "rebuild the image",
	}
	missing := problem.Problem{Code: "secret.unavailable", Where: "DB", Message: "it is lost", Hint: "ask an operator"}
	for _, c := range []struct {
		err   error
		local bool
		want  string
	}{
		{errors.New("disk full"), false, "error: disk full\n"},
		{errors.New(`unknown command "x"`), false, "error: unknown command \"x\"\nhint: see cemli --help\n"},
		{
			problem.New(problem.Problem{Code: "usage", Message: "no", Hint: "yes"}, errors.New("why")), false,
			"error: no\nhint: yes\ncause: why\n",
		},
		{
			problem.New(tool, nil), false,
			"error: jq: there is no such program (step.tool)\nhint: install it here, and add it to the function's " +
				"image\n",
		},
		{
			problem.New(missing, nil), false,
			"error: DB: it is lost (secret.unavailable)\nhint: ask an operator\n",
		},
		{
			problem.New(missing, nil), true,
			"error: DB: it is lost (secret.unavailable)\nhint: give it with --secret DB=FILE, and its value in the " +
				"file\n",
		},
	} {
		s, stdout, stderr := speaking(t, "text")
		s.Local = c.local
		s.ShowError(c.err)
		if diff := cmp.Diff(c.want, stderr.String()); diff != "" || stdout.Len() > 0 {
			t.Errorf("on stdout %q, on stderr (-want +got):\n%s", stdout, diff)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for code, want := range map[string]int{"usage": 2, "manifest.json": 3, "store.unavailable": 4} {
		if got := terminal.ExitCode(problem.New(problem.Problem{Code: code, Message: "m"}, nil)); got != want {
			t.Errorf("%s: %d; want %d", code, got, want)
		}
	}
	for status, want := range map[evidence.Status]int{
		evidence.StatusSuccess: 0, evidence.StatusFailed: 1, evidence.StatusRejected: 3, evidence.StatusError: 4,
	} {
		if got := terminal.StatusCode(status); got != want {
			t.Errorf("%s: %d; want %d", status, got, want)
		}
	}
}

const log = `{"msg":"run started","package":"p","version":"1.0.0","action":"dry_run"}
{"msg":"step started","phase":"run","step":"a"}
{"msg":"output","stream":"stdout","line":"one\u001b[2J"}
{"msg":"output","stream":"stderr","line":"two"}
{"msg":"step finished","phase":"run","step":"a","status":"failed","returncode":3,"duration_ms":1500}
no line of the log
{"msg":"step started","phase":"rollback","step":"a"}
{"msg":"step finished","phase":"rollback","step":"a","status":"success","duration_ms":10}
`

// A run is shown as it happens, in whatever parts its log arrives, and at its end what failed once more.
func TestProgress(t *testing.T) {
	const want = `p 1.0.0 (dry run)
run a
  | one` + "\uFFFD" + `[2J
  ! two
  x failed exit code 3 1.5s
rollback a
  + ok 10ms
--- a, last 2 lines ---
one` + "\uFFFD" + `[2J
two
--- end ---
`
	for _, size := range []int{1, 7, len(log)} {
		s, _, stderr := speaking(t, "text")
		p := terminal.NewProgress(s)
		for rest := log; rest != ""; {
			n := min(size, len(rest))
			fmt.Fprint(p, rest[:n])
			rest = rest[n:]
		}
		p.ShowFailed()
		if diff := cmp.Diff(want, stderr.String()); diff != "" {
			t.Errorf("in parts of %d bytes (-want +got):\n%s", size, diff)
		}
	}
	s, stdout, stderr := speaking(t, "json")
	fmt.Fprint(terminal.NewProgress(s), log)
	if stdout.Len()+stderr.Len() > 0 {
		t.Errorf("machines read %q and %q", stdout, stderr)
	}
}

// results are those of two parameter sets, the second of which failed.
func results() []evidence.Result {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := evidence.Result{
		RunID: "r1", Status: evidence.StatusSuccess, Environment: "dev", Action: "apply", ParameterSet: "DE",
		Package: evidence.Package{Name: "p", Version: "1.0.0"}, Start: start, End: start.Add(time.Second),
	}
	two := one
	two.RunID, two.ParameterSet, two.Status, two.Message = "r2", "FR", evidence.StatusFailed, "step a failed"
	two.Execution.Ran = true
	two.Error = &evidence.Error{Code: "step.failed", Message: "a: it ended with 3", Hint: "see the step's log"}
	two.Steps = []evidence.Step{
		{Name: "a", Phase: "run", Status: evidence.StepFailed, Log: "logs/a.log", OutputSize: 5},
	}
	return []evidence.Result{one, two}
}

// People read how each run ended and what to do; the error stands for the worst.
func TestShowResults(t *testing.T) {
	s, stdout, stderr := speaking(t, "text")
	err := s.ShowResults(results(), "evidence", true)
	var ended *terminal.EndedError
	if !errors.As(err, &ended) || ended.Code != codes.ExitFailed {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{
		"+ success  p 1.0.0 set DE, dev\n",
		"x failed  p 1.0.0 set FR, dev\n  step a failed\n",
		"steps     x failed      run a\n",
		"cemli run --results evidence --rerun-of r2 --reason TEXT\n",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	if want := "hint: see evidence/runs/r2/logs/a.log\n"; !strings.Contains(stderr.String(), want) {
		t.Errorf("%q is missing in:\n%s", want, stderr)
	}
}

// Machines read documents: an array where no set was chosen, and nothing on stderr.
func TestShowResultsToMachines(t *testing.T) {
	for _, allSets := range []bool{false, true} {
		s, stdout, stderr := speaking(t, "json")
		if err := s.ShowResults(results()[:1], "", allSets); err != nil {
			t.Error(err)
		}
		if got := strings.HasPrefix(stdout.String(), "["); got != allSets || stderr.Len() > 0 {
			t.Errorf("all sets: %v:\n%s%s", allSets, stdout, stderr)
		}
	}
}
