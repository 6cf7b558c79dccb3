package jobs

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// simple is a job of three steps with undo, and the outcome in which all of them succeed.
func simple() (Job, Outcome) {
	j := everyKey()
	j.Plan, j.Restore = nil, nil
	o := endedBadly()
	o.Steps, o.Rollback, o.Artifacts = nil, nil, nil
	for i, name := range []string{"a", "b", "c"} {
		s := Step{
			N: i + 1, Name: name, Phase: "run", Run: "steps/" + name + ".sh", SHA256: digestOf(name), Do: DoRun,
			Rollback: "rollback/" + name + ".sh", RollbackSHA256: digestOf("undo " + name),
		}
		j.Plan = append(j.Plan, s)
		o.Steps = append(o.Steps, succeeded(s.describe(), s.N))
	}
	return j, o
}

// succeeded is the record of a script that succeeded.
func succeeded(s evidence.Step, number int) evidence.Step {
	start := stopAt.Add(-time.Minute)
	end := start.Add(time.Second)
	s.Status, s.Attempts, s.Start, s.End, s.DurationMS = evidence.StepSuccess, 1, &start, &end, 1000
	s.Log, s.LogSHA256 = LogName(number, s.Phase, s.Name), digestOf("log")
	return s
}

// fails makes the record one of a script that failed.
func fails(s *evidence.Step, code string) {
	s.Status, s.ReturnCode, s.Error = evidence.StepFailed, 1, &evidence.Error{Code: code, Message: "exited with 1"}
}

// failedAt is a job in which one of the steps fails, what was begun is undone, and the outcome says so.
func failedAt(i int) (Job, Outcome) {
	j, o := simple()
	fails(&o.Steps[i], "step.failed")
	undo := &evidence.Rollback{Status: evidence.StepSuccess}
	for n := range j.Plan {
		if n > i {
			o.Steps[n] = j.Plan[n].describe()
			continue
		}
		undo.Steps = append(undo.Steps, succeeded(j.Plan[i-n].undo(), len(j.Plan)+n+1))
	}
	o.Rollback = undo
	return j, o
}

// check is what Check says of an outcome that was encoded and decoded.
func check(t *testing.T, j Job, o Outcome) error {
	t.Helper()
	if _, err := j.Encode(nil); err != nil {
		t.Fatal(err)
	}
	doc, err := o.Encode()
	if err != nil {
		return err
	}
	decoded, err := DecodeOutcome(doc)
	if err != nil {
		return err
	}
	return Check(j, decoded)
}

var tool = []problem.Problem{{Code: "step.tool", Where: "jq", Message: "the package needs this command"}}

// What a runner can say of a job is taken.
func TestOutcomesThatCanBe(t *testing.T) {
	for name, of := range map[string]func() (Job, Outcome){
		"success":    simple,
		"failure":    func() (Job, Outcome) { return failedAt(1) },
		"every key":  func() (Job, Outcome) { j := everyKey(); return j, endedBadly() },
		"last fails": func() (Job, Outcome) { return failedAt(2) },
		"no undo wanted": func() (Job, Outcome) {
			j, o := failedAt(1)
			j.OnFailure, o.Rollback = OnFailureStop, nil
			return j, o
		},
		"a step that may fail": func() (Job, Outcome) {
			j, o := simple()
			j.Plan[0].ContinueOnError = true
			fails(&o.Steps[0], "step.failed")
			return j, o
		},
		"the undo fails": func() (Job, Outcome) {
			j, o := failedAt(1)
			fails(&o.Rollback.Steps[0], "step.failed")
			o.Rollback.Status, o.Rollback.Error = evidence.StepFailed, o.Rollback.Steps[0].Error
			o.Rollback.Steps[1] = j.Plan[0].undo()
			return j, o
		},
		"an undo was modified": func() (Job, Outcome) {
			j, o := failedAt(1)
			o.Rollback.Steps = []evidence.Step{j.Plan[1].undo(), j.Plan[0].undo()}
			o.Rollback.Status = evidence.StepNotRun
			o.Rollback.Error = &evidence.Error{Code: "step.modified", Message: "m"}
			return j, o
		},
		"refused": func() (Job, Outcome) {
			j, o := simple()
			o.Began, o.Steps, o.Summary, o.Ended, o.Refused = false, nil, "", Stopped, tool
			return j, o
		},
		"cancelled before it began": func() (Job, Outcome) {
			j, o := simple()
			o.Began, o.Steps, o.Summary, o.Ended = false, nil, "", Cancelled
			return j, o
		},
		"a script was modified": func() (Job, Outcome) {
			j, o := failedAt(0)
			o.Steps[0] = succeeded(j.Plan[0].describe(), 1)
			o.Refused = []problem.Problem{{Code: "step.modified", Where: "steps/b.sh", Message: "m"}}
			return j, o
		},
		"no time for a step that may fail": func() (Job, Outcome) {
			j, o := simple()
			j.Plan[2].ContinueOnError, o.Steps[2] = true, j.Plan[2].describe()
			return j, o
		},
		"a script that may fail was modified": func() (Job, Outcome) {
			j, o := failedAt(0)
			j.Plan[1].ContinueOnError = true
			o.Steps[0] = succeeded(j.Plan[0].describe(), 1)
			o.Refused = []problem.Problem{{Code: "step.modified", Where: "steps/b.sh", Message: "m"}}
			return j, o
		},
		"stopped at once": func() (Job, Outcome) {
			j, o := failedAt(1)
			o.Steps[1].Status, o.Steps[1].Error.Code, o.Ended = evidence.StepInterrupted, "step.interrupted", Stopped
			o.Rollback.Status = evidence.StepNotRun
			o.Rollback.Steps = []evidence.Step{j.Plan[1].undo(), j.Plan[0].undo()}
			return j, o
		},
		"it could not be started": func() (Job, Outcome) {
			j, o := failedAt(0)
			s := &o.Steps[0]
			s.Start, s.End, s.DurationMS, s.ReturnCode, s.Error.Code = nil, nil, 0, -1, "sandbox.failed"
			return j, o
		},
		"ended before it was confined": func() (Job, Outcome) {
			j, o := failedAt(0)
			j.OnFailure, o.Rollback, o.Sandbox = OnFailureStop, nil, Sandbox{Level: "none"}
			o.Steps[0].Status, o.Steps[0].Error.Code = evidence.StepTimedOut, "step.timeout"
			return j, o
		},
		"a dry run": func() (Job, Outcome) {
			j, o := simple()
			j.Action, j.OnFailure, j.Plan[1].Do, o.Steps[1] = ActionDryRun, OnFailureStop, DoNot, j.Plan[1].describe()
			return j, o
		},
		"a rollback": reverted,
		"nothing to roll back": func() (Job, Outcome) {
			j, o := reverted()
			for i := range j.Plan {
				j.Plan[i].Do = DoNot
			}
			o.Began, o.Summary, o.Rollback = false, "", &evidence.Rollback{Status: evidence.StepSuccess}
			return j, o
		},
		"its clock is an hour off": func() (Job, Outcome) {
			j, o := simple()
			for i := range o.Steps {
				start := o.Steps[i].Start.Add(time.Hour)
				end := start.Add(time.Second)
				o.Steps[i].Start, o.Steps[i].End = &start, &end
			}
			return j, o
		},
	} {
		j, o := of()
		if err := check(t, j, o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// reverted is a job that undoes an earlier run: of its last step nothing is left to be undone.
func reverted() (Job, Outcome) {
	j, o := simple()
	j.Action, j.Plan[0].Do, j.Plan[1].Do, j.Plan[2].Do = ActionRollback, DoRevert, DoRevert, DoUndone
	for i, s := range j.Plan {
		o.Steps[i] = s.describe()
	}
	done := j.Plan[2].undo()
	done.Status = evidence.StepSkipped
	o.Rollback = &evidence.Rollback{Status: evidence.StepSuccess, Steps: []evidence.Step{
		done, succeeded(j.Plan[1].undo(), 4), succeeded(j.Plan[0].undo(), 5),
	}}
	return j, o
}

// What cannot have come of the job is refused: each of these is one change of an outcome that can be.
func TestOutcomesThatCannotBe(t *testing.T) {
	ok := func(spoil func(Job, *Outcome)) func() (Job, Outcome) {
		return func() (Job, Outcome) { j, o := simple(); spoil(j, &o); return j, o }
	}
	failed := func(spoil func(Job, *Outcome)) func() (Job, Outcome) {
		return func() (Job, Outcome) { j, o := failedAt(1); spoil(j, &o); return j, o }
	}
	back := func(spoil func(Job, *Outcome)) func() (Job, Outcome) {
		return func() (Job, Outcome) { j, o := reverted(); spoil(j, &o); return j, o }
	}
	left := func(artifacts ...Artifact) func() (Job, Outcome) {
		return ok(func(_ Job, o *Outcome) { o.Artifacts = artifacts })
	}
	file := func(n int, name string) Artifact { return Artifact{N: n, Name: name, Size: 3, SHA256: digestOf("abc")} }
	large := func(n int, name string) Artifact {
		return Artifact{N: n, Name: name, Size: 600_000, SHA256: digestOf("")}
	}
	withheld := Artifact{Name: "a", Withheld: "it has a secret in it"}
	cases := map[string]func() (Job, Outcome){ // by the place that the refusal names, and what it is
		// Of another job.
		"/job: another run's, or replayed": ok(func(_ Job, o *Outcome) { o.Job = strings.Repeat("f", 32) }),
		"/steps/1: of another plan":        ok(func(_ Job, o *Outcome) { o.Steps[1].SHA256 = digestOf("other") }),
		"/steps/1: another script":         ok(func(_ Job, o *Outcome) { o.Steps[1].Run = "steps/x.sh" }),
		"/steps/1: another phase":          ok(func(_ Job, o *Outcome) { o.Steps[1].Phase = "pre_check" }),

		// Of other steps.
		"/steps/1: an unknown step": ok(func(_ Job, o *Outcome) { o.Steps[1].Name = "x" }),
		"/steps: one step too many": ok(func(_ Job, o *Outcome) { o.Steps = append(o.Steps, o.Steps[2]) }),
		"/steps: a missing step":    ok(func(_ Job, o *Outcome) { o.Steps = o.Steps[:2] }),
		"/steps: a step in between": ok(func(_ Job, o *Outcome) {
			o.Steps = slices.Delete(o.Steps, 1, 2)
		}),
		"/steps/1: a repeated step": ok(func(_ Job, o *Outcome) { o.Steps[1] = o.Steps[0] }),
		"/steps/0: reordered steps": ok(func(_ Job, o *Outcome) { slices.Reverse(o.Steps) }),
		"/steps: no steps, complete": ok(func(_ Job, o *Outcome) {
			o.Steps, o.Began, o.Summary = nil, false, ""
		}),
		"/refused: nothing, no reason": ok(func(_ Job, o *Outcome) {
			o.Steps, o.Began, o.Summary, o.Ended = nil, false, "", Stopped
		}),
		"/steps/0/attempts: more tries than may": ok(func(_ Job, o *Outcome) { o.Steps[0].Attempts = 2 }),

		// Steps that contradict each other, or the end.
		"/steps/2: success after the failure": failed(func(j Job, o *Outcome) {
			o.Steps[2] = succeeded(j.Plan[2].describe(), 3)
		}),
		"/steps/2: success after a gap": ok(func(j Job, o *Outcome) {
			o.Steps[1], o.Ended = j.Plan[1].describe(), Stopped
		}),
		"/ended: complete with a gap": ok(func(j Job, o *Outcome) { o.Steps[2] = j.Plan[2].describe() }),
		"/ended: stopped, and nothing says": ok(func(j Job, o *Outcome) {
			o.Steps[2], o.Ended, o.Rollback = j.Plan[2].describe(), Stopped, nil
			o.Steps[0], o.Steps[1], o.Began, o.Summary = j.Plan[0].describe(), j.Plan[1].describe(), false, ""
		}),
		"/steps/1/status: complete, and interrupted": failed(func(_ Job, o *Outcome) {
			o.Steps[1].Status, o.Steps[1].Error.Code = evidence.StepInterrupted, "step.interrupted"
		}),
		"/refused: refused, and all was run": func() (Job, Outcome) {
			j, o := simple()
			j.OnFailure, o.Refused = OnFailureStop, tool
			return j, o
		},
		"/began: it has not begun": ok(func(_ Job, o *Outcome) { o.Began = false }),
		"/rollback/steps/2: it has begun": back(func(j Job, o *Outcome) {
			o.Rollback.Steps[1] = j.Plan[1].undo()
		}),
		"/steps/1/status: failure without a reason": failed(func(_ Job, o *Outcome) { o.Steps[1].Error = nil }),
		"/steps/1/status: success with a reason": ok(func(_ Job, o *Outcome) {
			o.Steps[1].Error = &evidence.Error{Code: "step.failed"}
		}),
		"/steps/1/status: success with a code": ok(func(_ Job, o *Outcome) { o.Steps[1].ReturnCode = 3 }),
		"/steps/1/status: success by a signal": ok(func(_ Job, o *Outcome) { o.Steps[1].Signal = "SIGKILL" }),
		"/steps/1/status: begun and not run": failed(func(_ Job, o *Outcome) {
			o.Steps[1].Status = evidence.StepNotRun
		}),
		"/steps/2: not begun, and a success": failed(func(_ Job, o *Outcome) {
			o.Steps[2].Status = evidence.StepSuccess
		}),
		"/steps/2: not begun, and a log": failed(func(_ Job, o *Outcome) {
			o.Steps[2].Log = "steps/03-c.log"
		}),
		"/steps/2: not begun, and outputs": failed(func(_ Job, o *Outcome) {
			o.Steps[2].Outputs = map[string]string{"A": "b"}
		}),
		"/steps/2: not begun, and an end": failed(func(_ Job, o *Outcome) {
			o.Steps[2].End = o.Steps[1].End
		}),
		"/steps/1: skipped, which was to run": ok(func(j Job, o *Outcome) {
			o.Steps[1] = j.Plan[1].describe()
			o.Steps[1].Status = evidence.StepSkipped
		}),
		"/steps/1: run, which was to be skipped": func() (Job, Outcome) {
			j, o := simple()
			j.Plan[1].Do = DoSkip
			return j, o
		},
		"/steps/1: run, which was not to be": func() (Job, Outcome) {
			j, o := simple()
			j.Action, j.OnFailure, j.Plan[1].Do = ActionDryRun, OnFailureStop, DoNot
			return j, o
		},
		"/steps/0: other outputs of a skipped step": func() (Job, Outcome) {
			j, o := simple()
			j.Plan[0].Do, j.Plan[0].Outputs = DoSkip, map[string]string{"A": "b"}
			o.Steps[0] = j.Plan[0].describe()
			o.Steps[0].Status, o.Steps[0].Outputs = evidence.StepSkipped, map[string]string{"A": "c"}
			return j, o
		},
		"/steps/1/error/code: another's code": failed(func(_ Job, o *Outcome) {
			o.Steps[1].Error.Code = "store.unavailable"
		}),
		"/steps/1/error/code: an unknown code": failed(func(_ Job, o *Outcome) {
			o.Steps[1].Error.Code = "step.unheard_of"
		}),
		"/refused/0: a refusal's code": ok(func(_ Job, o *Outcome) {
			o.Refused = []problem.Problem{{Code: "policy.freeze"}}
		}),
		"/steps/1/log: another log":        ok(func(_ Job, o *Outcome) { o.Steps[1].Log = "steps/01-a.log" }),
		"/steps/1/log: a log out of it":    ok(func(_ Job, o *Outcome) { o.Steps[1].Log = "../result.json" }),
		"/steps/1/log: a log of no digest": ok(func(_ Job, o *Outcome) { o.Steps[1].LogSHA256 = "" }),
		"/steps/1/truncated: a whole log that cannot be": ok(func(j Job, o *Outcome) {
			o.Steps[1].OutputSize = j.Limits.LogBytes + 1
		}),

		// Undo.
		"/rollback: undo without a failure": ok(func(j Job, o *Outcome) {
			o.Rollback = &evidence.Rollback{Status: evidence.StepSuccess}
		}),
		"/rollback: no undo after one": failed(func(_ Job, o *Outcome) { o.Rollback = nil }),
		"/rollback/steps: undo of half": failed(func(_ Job, o *Outcome) {
			o.Rollback.Steps = o.Rollback.Steps[:1]
		}),
		"/rollback/steps/0: undo in another order": failed(func(_ Job, o *Outcome) {
			slices.Reverse(o.Rollback.Steps)
		}),
		"/rollback/steps: undo of what never began": failed(func(j Job, o *Outcome) {
			o.Rollback.Steps = append([]evidence.Step{succeeded(j.Plan[2].undo(), 4)}, o.Rollback.Steps...)
		}),
		"/rollback/steps/0: undo by another script": failed(func(_ Job, o *Outcome) {
			o.Rollback.Steps[0].SHA256 = digestOf("x")
		}),
		"/rollback: undo of a step that has none": func() (Job, Outcome) {
			j, o := failedAt(1)
			j.Plan[1].Rollback, j.Plan[1].RollbackSHA256 = "", ""
			return j, o
		},
		"/rollback: undo of a step that needs none": func() (Job, Outcome) {
			j, o := failedAt(1)
			j.Plan[1].Rollback, j.Plan[1].RollbackSHA256 = NoUndo, ""
			return j, o
		},
		"/rollback: undo that was not wanted": func() (Job, Outcome) {
			j, o := failedAt(1)
			j.OnFailure = OnFailureStop
			return j, o
		},
		"/rollback: names of steps that have one": failed(func(_ Job, o *Outcome) {
			o.Rollback.WithoutUndo = []string{"a"}
		}),
		"/rollback/status: undo that failed, a success": failed(func(_ Job, o *Outcome) {
			fails(&o.Rollback.Steps[1], "step.failed")
		}),
		"/rollback/error: undo that failed, no reason": failed(func(_ Job, o *Outcome) {
			fails(&o.Rollback.Steps[1], "step.failed")
			o.Rollback.Status = evidence.StepFailed
		}),
		"/rollback/steps/1: undo after one that failed": failed(func(_ Job, o *Outcome) {
			fails(&o.Rollback.Steps[0], "step.failed")
			o.Rollback.Status, o.Rollback.Error = evidence.StepFailed, o.Rollback.Steps[0].Error
		}),
		"/rollback/error: undo that was not run, complete": failed(func(j Job, o *Outcome) {
			o.Rollback.Status = evidence.StepNotRun
			o.Rollback.Steps = []evidence.Step{j.Plan[1].undo(), j.Plan[0].undo()}
		}),
		"/rollback: a rollback without undo": back(func(_ Job, o *Outcome) {
			o.Rollback, o.Began, o.Summary = nil, false, ""
		}),
		"/steps/0: a rollback that runs steps": back(func(j Job, o *Outcome) {
			o.Steps[0] = succeeded(j.Plan[0].describe(), 1)
		}),
		"/rollback/steps/0: undone what was undone": back(func(j Job, o *Outcome) {
			o.Rollback.Steps[0] = succeeded(j.Plan[2].undo(), 4)
		}),

		// Times and sizes.
		"/steps/1/start: before the job": ok(func(_ Job, o *Outcome) {
			start := stopAt.Add(-10 * maxRun)
			end := start.Add(time.Second)
			o.Steps[1].Start, o.Steps[1].End = &start, &end
		}),
		"/steps/1/start: after the job": ok(func(_ Job, o *Outcome) {
			start := stopAt.Add(2 * maxRun)
			end := start.Add(time.Second)
			o.Steps[1].Start, o.Steps[1].End = &start, &end
		}),
		"/steps/1/start: an end before the start": ok(func(_ Job, o *Outcome) {
			end := o.Steps[1].Start.Add(-time.Second)
			o.Steps[1].End, o.Steps[1].DurationMS = &end, 0
		}),
		"/steps/1/start: another duration":          ok(func(_ Job, o *Outcome) { o.Steps[1].DurationMS++ }),
		"/steps/1/duration_ms: a negative duration": ok(func(_ Job, o *Outcome) { o.Steps[1].DurationMS = -1000 }),
		"/steps/1/start: no start":                  ok(func(_ Job, o *Outcome) { o.Steps[1].Start = nil }),
		"/steps/1/start: no times": ok(func(_ Job, o *Outcome) {
			o.Steps[1].Start, o.Steps[1].End, o.Steps[1].DurationMS = nil, nil, 0
		}),
		"/steps: longer than any run": ok(func(_ Job, o *Outcome) {
			for i := range o.Steps {
				end := o.Steps[i].Start.Add(10 * time.Hour)
				o.Steps[i].End, o.Steps[i].DurationMS = &end, 10*3_600_000
			}
		}),
		"/steps/1/max_rss_bytes: negative memory": ok(func(_ Job, o *Outcome) { o.Steps[1].MaxRSS = -1 }),
		"/steps/1/max_rss_bytes: absurd memory":   ok(func(_ Job, o *Outcome) { o.Steps[1].MaxRSS = 1 << 60 }),
		"/steps/1/output_bytes: an absurd output": ok(func(_ Job, o *Outcome) { o.Steps[1].OutputSize = 1 << 62 }),
		"/steps: many outputs": ok(func(_ Job, o *Outcome) {
			o.Steps[0].Outputs, o.Steps[1].Outputs = map[string]string{}, map[string]string{}
			for _, letter := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
				o.Steps[0].Outputs["A"+string(letter)], o.Steps[1].Outputs["B"+string(letter)] = "", ""
			}
		}),
		"/steps: large outputs": ok(func(_ Job, o *Outcome) {
			o.Steps[0].Outputs, o.Steps[1].Outputs = map[string]string{}, map[string]string{}
			for _, key := range []string{"a", "b", "c"} {
				maps.Copy(o.Steps[0].Outputs, map[string]string{key: strings.Repeat("x", MaxOutput)})
				maps.Copy(o.Steps[1].Outputs, map[string]string{"_" + key: strings.Repeat("x", MaxOutput)})
			}
		}),
		"/steps/0/changed_files: many changed files": ok(func(_ Job, o *Outcome) {
			o.Steps[0].ChangedFiles = slices.Repeat([]string{"x"}, MaxChanged+1)
		}),
		"/steps: long changed files": ok(func(_ Job, o *Outcome) {
			o.Steps[0].ChangedFiles = slices.Repeat([]string{strings.Repeat("x", 1000)}, 66)
		}),
		"/summary: a summary, not begun": failed(func(j Job, o *Outcome) {
			o.Began, o.Steps, o.Rollback, o.Ended, o.Refused = false, nil, nil, Stopped, tool
		}),

		// Artifacts.
		"/artifacts/0/size: 10 GB":               left(Artifact{N: 1, Name: "a", Size: 10 << 30, SHA256: digestOf("")}),
		"/artifacts/0/size: more than 10 GB":     left(Artifact{N: 1, Name: "a", Size: 11 << 30, SHA256: digestOf("")}),
		"/artifacts/0/size: a negative size":     left(Artifact{N: 1, Name: "a", Size: -1, SHA256: digestOf("")}),
		"/artifacts/1/size: more together":       left(large(1, "a"), large(2, "b")),
		"/artifacts/0/name: a name out of it":    left(file(1, "../result.json")),
		"/artifacts/0/name: an absolute name":    left(file(1, "/etc/passwd")),
		"/artifacts/0/name: a folder's name":     left(file(1, "a/")),
		"/artifacts/0/name: no name":             left(file(1, "")),
		"/artifacts/0/name: the folder itself":   left(file(1, ".")),
		"/artifacts/0/name: a name of two lines": left(file(1, "a\nb")),
		"/artifacts/0/name: a name with NUL":     left(file(1, "a\x00b")),
		"/artifacts/0/name: a long name":         left(file(1, strings.Repeat("x", 1000))),
		"/artifacts/0/name: a deep name":         left(file(1, strings.Repeat("x/", 40)+"x")),
		"/artifacts/1/name: a name twice":        left(file(1, "a"), file(2, "a")),
		"/artifacts: a file and its folder":      left(file(1, "a/b"), file(2, "a")),
		"/artifacts/1/n: a number twice":         left(file(1, "a"), file(1, "b")),
		"/artifacts/0/n: a number left out":      left(file(2, "a")),
		"/artifacts/0/n: restored by nobody":     left(file(0, "a")),
		"/artifacts/0/size: no digest":           left(Artifact{N: 1, Name: "a", Size: 3}),
		"/artifacts/0: withheld, and there":      left(Artifact{N: 1, Name: "a", Withheld: "it has a secret in it"}),
		"/artifacts/0: withheld with a size":     left(Artifact{Name: "a", Size: 3, Withheld: "it has a secret in it"}),
		"/artifacts: more than the limit": func() (Job, Outcome) {
			j, o := simple()
			j.Limits.Artifacts, o.Artifacts = 1, []Artifact{file(1, "a"), file(2, "b")}
			return j, o
		},
		"/artifacts: many withheld": left(slices.Repeat([]Artifact{withheld}, 105)...),
		"/artifacts/0: an artifact of nothing": func() (Job, Outcome) {
			j, o := reverted()
			for i := range j.Plan {
				j.Plan[i].Do = DoNot
			}
			o.Began, o.Summary, o.Artifacts = false, "", []Artifact{file(1, "a")}
			o.Rollback = &evidence.Rollback{Status: evidence.StepSuccess}
			return j, o
		},

		"/sandbox/level: a success without it": ok(func(_ Job, o *Outcome) { o.Sandbox = Sandbox{Level: "none"} }),
		"/sandbox/level: a sandbox below the job's": func() (Job, Outcome) {
			j, o := simple()
			j.Level = "isolated"
			return j, o
		},
	}
	for name, of := range cases {
		j, o := of()
		where, _, _ := strings.Cut(name, ":")
		err := check(t, j, o)
		if err == nil {
			t.Errorf("%s: it was accepted", name)
			continue
		}
		if p := problem.Of(err, problem.Problem{}).Problems[0]; p.Code != "runner.outcome" || p.Where != where {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Artifacts have names that objects can have.
func TestNamesOfArtifactsAreThoseOfObjects(t *testing.T) {
	for _, name := range []string{"a", "é/b c", "...", "a/.b", strings.Repeat("x", 900), `a\b`, "***/x (2)"} {
		j, o := simple()
		o.Artifacts = []Artifact{{N: 1, Name: name, SHA256: digestOf("")}}
		err, byStore := check(t, j, o), store.CheckName(evidence.Dir(j.RunID)+"artifacts/"+name)
		if err != nil || byStore != nil {
			t.Errorf("%q: %v; the store says %v", name, err, byStore)
		}
	}
}
