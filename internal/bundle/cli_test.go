package bundle_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every hostile zip is refused by the program itself, by run and by validate alike:
// exit code 3, a code of the family archive, nothing executed, and no file left.
func TestHostileZipsAreRefusedByTheProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: packages run on Linux only")
	}
	program := filepath.Join(t.TempDir(), "cemli")
	if out, err := exec.Command("go", "build", "-o", program, "cemli-executor/cmd/cemli").CombinedOutput(); err != nil {
		t.Fatalf("build cemli: %v\n%s", err, out)
	}
	all := slices.Concat(hostileNames, hostileEntries, hostileLayouts, hostileEnds, combined)
	if len(all) < 60 {
		t.Fatalf("only %d hostile zips", len(all))
	}
	for _, h := range all {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sample-1.0.0.zip")
			if err := os.WriteFile(file, h.zip.bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			run := refusedBy(t, program, "run", file)
			validate := refusedBy(t, program, "validate", file)
			if diff := cmp.Diff(run, validate); diff != "" {
				t.Errorf("what the commands say (-run +validate):\n%s", diff)
			}
		})
	}
}

// refusedBy runs a command that must refuse a zip, and returns the codes it gave.
func refusedBy(t *testing.T, program, command, file string) []string {
	t.Helper()
	scratch := t.TempDir()
	cmd := exec.Command(program, command, file, "-o", "json")
	cmd.Dir = scratch
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	out, _ := cmd.Output() // the exit code says more
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("%s: exit code %d; want 3\n%s", command, code, out)
	}
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("%s left %v, %v", command, left, err)
	}
	type problem struct{ Code string }
	var answer struct {
		Status    string
		Execution struct{ Ran bool }
		Error     *struct {
			problem
			Problems []problem
		}
		Problems []problem
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	if answer.Execution.Ran || command == "run" && answer.Status != "rejected" {
		t.Errorf("%s: status %s, ran %v", command, answer.Status, answer.Execution.Ran)
	}
	found := answer.Problems
	if answer.Error != nil {
		if found = answer.Error.Problems; found == nil {
			found = []problem{answer.Error.problem}
		}
	}
	var codes []string
	for _, p := range found {
		if !strings.HasPrefix(p.Code, "archive.") {
			t.Errorf("%s: code %s", command, p.Code)
		}
		codes = append(codes, p.Code)
	}
	if codes == nil {
		t.Errorf("%s gave no code", command)
	}
	return codes
}
