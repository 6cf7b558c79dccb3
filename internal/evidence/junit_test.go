package evidence_test

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
)

// A step that exited with 0 can have failed; then the report says why, as the result does.
func TestJUnitSaysWhyAStepFailed(t *testing.T) {
	t.Parallel()
	for want, step := range map[string]evidence.Step{
		`message="failed: what it wrote cannot be used" type="step.output"`: {
			Status: evidence.StepFailed,
			Error:  &evidence.Error{Code: "step.output", Message: "what it wrote cannot be used"},
		},
		`message="timed_out: was stopped after 1s" type="step.timeout"`: {
			Status: evidence.StepTimedOut, Signal: "SIGTERM",
			Error: &evidence.Error{Code: "step.timeout", Message: "was stopped after 1s"},
		},
		`message="interrupted" type="interrupted"`: {Status: evidence.StepInterrupted},
		`message="failed: ended by SIGSEGV" type="failed"`: {
			Status: evidence.StepFailed, ReturnCode: -1, Signal: "SIGSEGV",
		},
	} {
		step.Name, step.Phase = "s", "run"
		doc, err := evidence.Result{Steps: []evidence.Step{step}}.JUnit()
		if err != nil || !strings.Contains(string(doc), "<failure "+want) ||
			strings.Contains(string(doc), "exited with 0") {
			t.Errorf("want %s, %v\n%s", want, err, doc)
		}
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	r := evidence.Result{
		Package: evidence.Package{Name: "p", Version: "1.0.0"}, Start: time.Unix(0, 0), End: time.Unix(2, 0),
		Steps: []evidence.Step{
			{
				Name: "a", Phase: "pre_check", Status: evidence.StepSuccess, DurationMS: 1500,
				StdoutTail: "ok \x00\x1b[31m ]]> <&",
			},
			{Name: "b", Phase: "run", Status: evidence.StepFailed, ReturnCode: 3, StderrTail: "no"},
			{Name: "c", Phase: "run", Status: evidence.StepNotRun},
		},
		Rollback: &evidence.Rollback{Steps: []evidence.Step{{
			Name: "b", Phase: "rollback", Status: evidence.StepTimedOut, Signal: "SIGKILL",
		}}},
	}
	doc, err := r.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Tests, Failures, Skipped int `xml:",attr"`
		Suites                   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
				Out string `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	text := strings.NewReplacer(`tests="`, `Tests="`, `failures="`, `Failures="`, `skipped="`,
		`Skipped="`).Replace(string(doc))
	if err := xml.Unmarshal([]byte(text), &back); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if back.Tests != 4 || back.Failures != 2 || back.Skipped != 1 || len(back.Suites) != 3 {
		t.Errorf("%+v", back)
	}
	if f := back.Suites[1].Cases[0].Failure; f == nil || f.Message != "failed: exited with 3" {
		t.Errorf("failure %+v", f)
	}
	if out := back.Suites[0].Cases[0].Out; !strings.Contains(out, "]]> <&") || strings.ContainsAny(out, "\x00\x1b") {
		t.Errorf("output %q", out)
	}
}
