package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

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
