package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"cemli-executor/internal/cli/localcmd"
	"cemli-executor/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Dispatch()
	localcmd.Dispatch()
	testscript.Main(m, map[string]func(){"cemli": main})
}

// accepting is a policy that accepts that scripts can reach credentials.
const accepting = `{"environment":"local","sandbox":"basic"}`

// TestScripts runs the sessions in testdata. They have the program cemli, the function
// in $FUNCTION, and the packages of examples/ in $EXAMPLES.
func TestScripts(t *testing.T) {
	function := filepath.Join(t.TempDir(), "cemli-executor")
	build := exec.CommandContext(context.Background(), "go", "build", "-ldflags", "-s -w", "-o", function,
		"cemli-executor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the function: %v\n%s", err, out)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FUNCTION", function)
			e.Setenv("EXAMPLES", examples)
			e.Setenv("TMPDIR", os.TempDir()) // sockets need short paths
			// What a policy has to say where [!isolated] scripts are to be given secrets.
			e.Setenv("ACCEPTED", "CEMLI_POLICY="+accepting)
			e.Setenv("POLICY", filepath.Join(e.WorkDir, "accepting.json"))
			return os.WriteFile(filepath.Join(e.WorkDir, "accepting.json"), []byte(accepting), 0o600)
		},
		Condition: func(condition string) (bool, error) {
			if condition != "isolated" {
				return false, fmt.Errorf("no such condition: %s", condition)
			}
			return sandbox.Probe().Strongest().Reaches(sandbox.LevelIsolated), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE PROGRAM ARG… runs a program and wants exactly that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = exitCodeOf(err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s; want %s (%v)", code, args[0], err)
	}
}

func exitCodeOf(err error) string {
	exit, ok := err.(*exec.ExitError) //nolint:errorlint // Exec returns it as it is
	if !ok {
		return err.Error()
	}
	return string(rune('0' + exit.ExitCode()))
}
