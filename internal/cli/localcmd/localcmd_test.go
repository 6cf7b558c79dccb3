package localcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/local"
	"cemli-executor/internal/problem"
)

// flags are those of cemli local run.
func flags(t *testing.T, args ...string) stackFlags {
	t.Helper()
	f := stackFlags{instances: 1}
	cmd := &cobra.Command{}
	f.add(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f
}

// Flags that no function could be run with are refused before anything starts.
func TestFlags(t *testing.T) {
	var o local.Options
	err := flags(t, "--config", "A=1", "--config", "B=x=y").settle(&o)
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "x=y"}, o.Settings); diff != "" || err != nil || o.Runner == nil {
		t.Errorf("%v, settings (-want +got):\n%s", err, diff)
	}
	var apart local.Options
	err = flags(t, "--runner", "function", "--config", "A=1", "--runner-config", "B=2").settle(&apart)
	if err != nil || apart.Runner == nil || !maps.Equal(apart.Runner.Settings, map[string]string{"B": "2"}) ||
		!maps.Equal(apart.Settings, map[string]string{"A": "1"}) {
		t.Errorf("%v, %+v", err, apart)
	}
	var here local.Options
	if err := flags(t, "--runner", "here").settle(&here); err != nil || here.Runner != nil {
		t.Errorf("%v, a runner %+v", err, here.Runner)
	}
	for _, args := range []string{
		"--timeout 1s", "--timeout 2h", "--detached-timeout 2h", "--memory 64", "--memory 4096", "--config A",
		"--config =1", "--runner host", "--runner function --runner-config A", "--runner here --runner-config A=1",
		"--timeout 6m",
	} {
		if err := flags(t, strings.Fields(args)...).settle(&o); problem.CodeOf(err) != "usage" {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// The values of secrets come from files; what is probably not meant to be in them is told.
func TestSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"plain": "s3cret", "line": "s3cret\n", "lines": "a\nb\n", "void": ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const note = "note: the line end of line is part of the secret DB; printf %s writes a file without\n"
	for flag, want := range map[string]struct{ value, said string }{
		"DB=plain": {"s3cret", ""}, "DB=line": {"s3cret\n", note}, "DB=lines": {"a\nb\n", ""},
	} {
		var said bytes.Buffer
		secrets, err := flags(t, "--secret", flag).readSecrets(terminal.New(&said, &said))
		if string(secrets["DB"]) != want.value || said.String() != want.said || err != nil {
			t.Errorf("%s: %q, %q, %v", flag, secrets, &said, err)
		}
	}
	for _, flag := range []string{"DB", "=plain", "DB=none", "DB=void"} {
		if secrets, err := flags(t, "--secret", flag).readSecrets(nil); problem.CodeOf(err) != "usage" {
			t.Errorf("%s: %q, %v", flag, secrets, err)
		}
	}
}

// waitingFor waits for invocations that have ended so, one after the other.
func waitingFor(said *bytes.Buffer, log string, ended ...invocation) *waiting {
	w := &waiting{t: terminal.New(said, said), finished: make(chan invocation, 16), log: &lastLines{}}
	fmt.Fprint(w.log, log)
	for _, i := range ended {
		w.answered(i.answer, i.err)
	}
	return w
}

func body(text string) invocation { return invocation{answer: fnhost.Answer{Body: []byte(text)}} }

// A run that goes on in another invocation has its answer there.
func TestWaitingForAnswers(t *testing.T) {
	goesOn, both := body(`{"status":"in_progress"}`), body(`[{"status":"success"},{"status":"failed"}]`)
	w := waitingFor(&bytes.Buffer{}, "", goesOn, both)
	answers, err := w.wait(t.Context())
	if err != nil || len(answers) != 2 || answers[0].unsuccessful() || !answers[1].unsuccessful() {
		t.Errorf("%+v, %v", answers, err)
	}
}

// An invocation that failed tells its caller nothing: the function's log says why.
func TestInvocationsThatFail(t *testing.T) {
	const log = `{"level":"INFO","msg":"begun"}
{"level":"ERROR","msg":"cannot start","error":"no such bucket (config.bucket)"}
`
	failed := invocation{err: errors.New("502")}
	for _, c := range []struct {
		log        string
		configured bool
		code, want string
	}{
		{"", false, "store.invocation", "the invocation failed: 502"},
		{log, false, "config.function", "the function does not start: no such bucket (config.bucket)"},
		{log, true, "usage", "--config: the function does not start"},
		{strings.ReplaceAll(log, "config.", "store."), false, "store.invocation", "the invocation failed: 502"},
	} {
		w := waitingFor(&bytes.Buffer{}, c.log, failed)
		w.configured = c.configured
		if _, err := w.wait(t.Context()); problem.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %s, %q", err, c.code, c.want)
		}
	}
}

// Who interrupts is told that something may have happened.
func TestInterruptedWhileWaiting(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	end()
	var said bytes.Buffer
	_, err := waitingFor(&said, "").wait(ctx)
	var ended *terminal.EndedError
	if !errors.As(err, &ended) || !strings.Contains(said.String(), "see which parts of the package took effect") {
		t.Errorf("%v, %q", err, &said)
	}
}

// What became no run is told by the function's own error.
func TestAnswersWithoutARun(t *testing.T) {
	var said bytes.Buffer
	noZip := &evidence.Error{Code: "trigger.object", Message: "no zip"}
	refused := []functionAnswer{{Summary: evidence.Summary{Error: noZip}}}
	err := showAnswers(t.Context(), terminal.New(&said, &said), nil, refused, true)
	var ended *terminal.EndedError
	if !errors.As(err, &ended) || !strings.Contains(said.String(), "no zip (trigger.object)") {
		t.Errorf("%v, %q", err, &said)
	}
	ignored := []functionAnswer{{Summary: evidence.Summary{Status: "ignored"}, Reason: "no upload"}}
	err = showAnswers(t.Context(), nil, nil, ignored, true)
	if err == nil || !strings.Contains(err.Error(), "no upload") {
		t.Error(err)
	}
}

// The function is a program that was named, or there is a hint how to name one.
func TestFindFunction(t *testing.T) {
	t.Chdir(t.TempDir())
	text := os.WriteFile("text", nil, 0o600)
	program := os.WriteFile("program", nil, 0o700) // #nosec G306 -- it is one
	if err := errors.Join(text, program); err != nil {
		t.Fatal(err)
	}
	if path, _, err := findFunction(t.Context(), nil, "program"); path != "program" || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	for _, named := range []string{"text", "none", "."} {
		if _, _, err := findFunction(t.Context(), nil, named); problem.CodeOf(err) != "config.function" {
			t.Errorf("%s: %v", named, err)
		}
	}
	if _, _, err := findFunction(t.Context(), nil, ""); problem.CodeOf(err) != "config.function" {
		t.Errorf("none: %v", err)
	}
}

func TestCredentialsNeedAFolder(t *testing.T) {
	if err := credentials(t.Context(), nil, "", time.Hour); problem.CodeOf(err) != "usage" {
		t.Error(err)
	}
	for text, want := range map[string]string{"a b": "'a b'", "it's": `'it'\''s'`, "": "''"} {
		if got := shellQuoted(text); got != want {
			t.Errorf("%s is quoted as %s", text, got)
		}
	}
}
