package executor_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
)

// prints lets a step write to its mask file and print without a process, so that each line comes when the file is as
// it was then.
func (b *bench) prints(step func(mask string, stdout io.Writer)) evidence.Result {
	b.t.Helper()
	b.config.Spawn = func(_ context.Context, c sandbox.Command) (sandbox.Outcome, error) {
		for _, variable := range c.Env {
			if mask, ok := strings.CutPrefix(variable, "CEMLI_MASK="); ok {
				step(mask, c.Stdout)
			}
		}
		return sandbox.Outcome{}, nil
	}
	return b.ran(files{"steps/run.sh": "true"})
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A value counts when it is written, also where the file looks as it did before: of the same length, at the same time.
func TestMaskFileThatIsOverwritten(t *testing.T) {
	b := newBench(t)
	r := b.prints(func(mask string, stdout io.Writer) {
		for i := range 400 {
			token := fmt.Sprintf("token-%06d", i)
			write(t, mask, token+"\n")
			fmt.Fprintln(stdout, token)
		}
	})
	if log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); log != strings.Repeat("***\n", 400) {
		t.Errorf("%d of 400 tokens are in the log", strings.Count(log, "token-"))
	}
	b.nowhere("token-0")
}

// A last line counts before it has an end, and again when more of it came.
func TestMaskFileWithoutAnEnd(t *testing.T) {
	b := newBench(t)
	r := b.prints(func(mask string, stdout io.Writer) {
		for _, text := range []string{"abc", "first-token", "first-token\nsecond", "first-token\nsecond-token"} {
			write(t, mask, text)
			fmt.Fprintln(stdout, text)
		}
	})
	if log := b.object(evidence.Dir(r.RunID) + r.Steps[0].Log); log != "abc\n***\n***\n***\n***\n***\n" {
		t.Errorf("log %q", log)
	}
}

// A line that is too short is named when it has an end.
func TestMaskFileThatEndsTooShort(t *testing.T) {
	b := newBench(t)
	r := b.prints(func(mask string, stdout io.Writer) {
		write(t, mask, "abc")
		fmt.Fprintln(stdout, "one")
		fmt.Fprintln(stdout, "two")
	})
	if log := b.object(evidence.Dir(r.RunID) +
		r.Steps[0].Log); log != "one\ntwo\n[cemli] a line of CEMLI_MASK has fewer than 6 bytes and is not masked\n" {
		t.Errorf("log %q", log)
	}
}

// A value that is learned later is hidden in all that the result says of earlier steps: names of files, why a step
// failed, and outputs, none of which is lost to another of the same hidden name.
func TestLearnedLaterInRecordsOfSteps(t *testing.T) {
	b := newBench(t)
	r := b.ran(with(`"steps":[{"run":"1.sh"},{"run":"2.sh","rollback":"back.sh"}]`, files{
		"1.sh": `echo x_second >"$CEMLI_MASK"; touch name-s3cr3tvalue.txt; ` +
			`printf 'kx_second=1\nkthe_third=2\n' >$CEMLI_OUTPUT`,
		"2.sh":    `echo 's3cr3tvalue is no line' >>$CEMLI_OUTPUT`,
		"back.sh": `printf 's3cr3tvalue\nthe_third\n' >>"$CEMLI_MASK"`,
	}))
	if doc := b.object(evidence.ResultObject(r.RunID)); strings.Contains(doc, "s3cr3tvalue") {
		t.Errorf("changed files %v, error of the step %+v, result %s", r.Steps[0].ChangedFiles, r.Steps[1].Error, doc)
	}
	if got := fmt.Sprint(r.Steps[0].Outputs); got != "map[k***:1 k*** (2):2]" {
		t.Errorf("outputs %s", got)
	}
}
