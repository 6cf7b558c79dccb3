package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// A runner whose answer is none, and that has not begun the job, as one that does not understand the job, has run
// nothing: the run is tried again, and no result says that it was interrupted.
func TestAnAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"a refusal as of a request": `{"status":"error","message":"no job","error":{"code":"runner.job","message":"no job"}}`,
		"nothing":                   ``,
		"another job's":             `{"job":"` + strings.Repeat("0", 32) + `","says":"taken"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			o := b.apart()
			o.deliver = func(context.Context, []byte) ([]byte, error) { return []byte(says), nil }
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
			r, err := b.run(within(t, time.Minute), event(info.Name, info.ETag))
			if problem.CodeOf(err) != "runner.unavailable" || r.Execution.Ran || b.resultsStored() > 0 {
				t.Errorf("status %s, %s, %v, %d results", r.Status, r.Message, err, b.resultsStored())
			}
		})
	}
}

// A runner that refuses a job says nothing about the package or the environment's policy: such a reason is as good as no
// answer.
func TestARunnerRefusesForReasonsOfItsOwn(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"runner.deadline": "runner.deadline", "sandbox.doubt": "sandbox.doubt", "policy.freeze": "runner.unavailable",
		"state.lost": "runner.unavailable",
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			o := b.apart()
			o.deliver = func(_ context.Context, call []byte) ([]byte, error) {
				job, _, err := jobs.DecodeJob(call)
				if err != nil {
					return nil, err
				}
				why := []problem.Problem{{Code: given, Message: "said the runner"}}
				return jobs.Answer{Job: job.Job, Says: jobs.AnswersRefused, Refused: why}.Encode()
			}
			info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/1.sh": "echo one"}), store.PutOptions{})
			r, err := b.run(within(t, time.Minute), event(info.Name, info.ETag))
			if problem.CodeOf(err) != want || r.Execution.Ran || b.resultsStored() > 0 {
				t.Errorf("status %s, %s, %v, %d results", r.Status, r.Message, err, b.resultsStored())
			}
		})
	}
}
