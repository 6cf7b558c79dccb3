package executor_test

import (
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
)

// trail lists the steps of a run and of its undo with how they ended.
func trail(r evidence.Result) string {
	var list []string
	for _, s := range r.Steps {
		list = append(list, s.Name+":"+string(s.Status))
	}
	if r.Rollback != nil {
		list = append(list, "| "+string(r.Rollback.Status))
		for _, s := range r.Rollback.Steps {
			list = append(list, s.Run+":"+string(s.Status))
		}
	}
	return strings.Join(list, " ")
}

func TestUndo(t *testing.T) {
	for _, c := range []struct {
		name     string
		contents files
		status   evidence.Status
		trail    string
	}{
		{"nothing fails", files{"steps/a.sh": "", "rollback/a.sh": "exit 1"}, evidence.StatusSuccess, "a:success"},
		{
			"in reverse order, the failed step too",
			files{
				"steps/a.sh": "", "steps/b.sh": "exit 3", "steps/c.sh": "", "rollback/a.sh": "", "rollback/b.sh": "",
				"rollback/c.sh": "",
			},
			evidence.StatusRolledBack,
			"a:success b:failed c:not_run | success rollback/b.sh:success rollback/a.sh:success",
		},
		{
			"a test fails",
			files{"steps/a.sh": "", "tests/t.sh": "exit 1", "rollback/a.sh": ""},
			evidence.StatusRolledBack, "a:success t:failed | success rollback/a.sh:success",
		},
		{
			"a precheck fails", files{
				"prechecks/p.sh": "exit 1", "steps/a.sh": "", "rollback/a.sh": "",
			}, evidence.StatusFailed, "p:failed a:not_run",
		},
		{
			"undo fails",
			files{"steps/a.sh": "", "steps/b.sh": "exit 3", "rollback/a.sh": "", "rollback/b.sh": "exit 5"},
			evidence.StatusFailed, "a:success b:failed | failed rollback/b.sh:failed rollback/a.sh:not_run",
		},
		{
			"the failed step has none",
			files{"steps/a.sh": "", "steps/b.sh": "exit 3", "rollback/a.sh": ""},
			evidence.StatusRolledBack, "a:success b:failed | success rollback/a.sh:success",
		},
		{
			"stop", files{
				"manifest.json": manifestWith(`"on_failure":"stop"`), "steps/a.sh": "exit 1", "rollback/a.sh": "",
			}, evidence.StatusFailed, "a:failed",
		},
		{
			"a step changes the undo", files{
				"steps/a.sh": "echo exit 0 >rollback/a.sh; exit 1", "rollback/a.sh": "exit 1",
			}, evidence.StatusFailed, "a:failed | not_run rollback/a.sh:not_run",
		},
		{
			"a step's own time ends",
			files{
				"manifest.json": manifestWith(`"steps":[{"run":"a.sh","timeout":"300ms","rollback":"u.sh"}]`),
				"a.sh":          "sleep 60", "u.sh": "",
			},
			evidence.StatusRolledBack, "a:timed_out | success u.sh:success",
		},
		{
			"the package's time ends", files{
				"manifest.json": manifestWith(`"timeout":"300ms"`), "steps/a.sh": "sleep 60", "steps/b.sh": "",
			}, evidence.StatusTimedOut, "a:timed_out b:not_run",
		},
		{
			"undo hangs", files{
				"manifest.json": manifestWith(`"rollback_timeout":"300ms"`), "steps/a.sh": "exit 1",
				"rollback/a.sh": "sleep 60",
			}, evidence.StatusFailed, "a:failed | timed_out rollback/a.sh:timed_out",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newBench(t).ran(c.contents)
			if r.Status != c.status || trail(r) != c.trail {
				t.Errorf("status %s, %s\nwant   %s, %s\n%s", r.Status, trail(r), c.status, c.trail, r.Message)
			}
			if r.Rollback != nil && (r.Rollback.Status == evidence.StepSuccess) != (r.Rollback.Error == nil) {
				t.Errorf("rollback %+v", r.Rollback)
			}
		})
	}
}

func TestUndoLogsAreEvidence(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{"steps/a.sh": "exit 1", "rollback/a.sh": "echo undone by $CEMLI_STEP"})
	if got := b.object(evidence.Dir(r.RunID) + "steps/02-rollback-a.log"); got != "undone by a\n" {
		t.Errorf("log %q", got)
	}
	if r.Error == nil || r.Error.Code != "step.failed" || !strings.Contains(r.Message, "undone") {
		t.Errorf("error %+v, message %q", r.Error, r.Message)
	}
}

// A package that says it needs longer than is left is not begun.
func TestTimeoutThatCannotBeHeld(t *testing.T) {
	b := newBench(t)
	b.config.Limits.RunTime = time.Minute
	r := b.ran(files{
		"manifest.json": manifestWith(`"timeout":"50s","rollback_timeout":"20s"`), "steps/a.sh": "",
		"rollback/a.sh": "",
	})
	if code(r) != "step.deadline" || r.Status != evidence.StatusRejected {
		t.Errorf("status %s, %+v", r.Status, r.Error)
	}
	if r := b.ran(files{
		"manifest.json": manifestWith(`"timeout":"50s"`), "steps/a.sh": "",
	}); r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
}

func TestMissingToolsAreFoundBefore(t *testing.T) {
	r := newBench(t).ran(files{
		"manifest.json": manifestWith(`"tools":["cat","no-such-tool","nor-this"]`), "steps/a.sh": "echo ran",
	})
	if got := strings.Join(codes(r), " "); got != "step.tool step.tool" {
		t.Errorf("codes %s", got)
	}
	nothingRan(t, r)
}

// Whatever a package says of the time for its undo, it runs in its concurrency group, and has a fence.
func TestNoRunOutsideItsGroup(t *testing.T) {
	here(t, "a call takes five minutes at most where there are no detached ones")
	for name, times := range map[string]string{
		"undo alone":       `"rollback_timeout":"2h"`,
		"undo, never done": `"timeout":"30m","rollback_timeout":"2h","on_failure":"stop"`,
		"nothing to undo":  `"timeout":"30m","rollback_timeout":"2h"`,
	} {
		r := newBench(t).ran(files{"manifest.json": manifestWith(times), "steps/run.sh": `echo "fence $CEMLI_FENCE"`})
		if r.Status != evidence.StatusSuccess || !strings.Contains(r.Execution.Stdout, "fence 1") {
			t.Errorf("%s: %s, %s, %q; want a success with the fence 1", name, r.Status, r.Message, r.Execution.Stdout)
		}
	}
}
