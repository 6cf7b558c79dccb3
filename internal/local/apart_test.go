package local_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// The whole way with a runner: the second function, with the real binary, runs the steps, and the first stores what
// came of them.
func TestStepsRunInTheRunner(t *testing.T) {
	log := &testkit.Buffer{}
	c := start(t, func(o *local.Options) { o.Runner = &local.Runner{Log: log} })
	c.put("sample-1.0.0.zip", sample(t, "echo it is Hello"))
	r := c.result(c.answer())
	if r.Status != evidence.StatusSuccess || r.Execution.Stdout != "it is Hello\n" {
		t.Errorf("status %s, %s, %+v; the runner's log:\n%s", r.Status, r.Message, r.Execution, log)
	}
	if r.Apart == nil || r.Apart.ID != localoci.RunnerID || r.Identity.FunctionID != localoci.FunctionID {
		t.Errorf("where: %+v, by %s", r.Apart, r.Identity.FunctionID)
	}
	if !strings.Contains(log.String(), "it is Hello") {
		t.Errorf("the runner's log does not have it:\n%s", log)
	}
}

// A script of a runner without Landlock tries to write the memory of the init below which it is. The control has a
// runner that believes not to be alone, and so hides nothing.
func TestScriptsAttackTheRunnersInit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to make a container")
	}
	for name, settings := range map[string]map[string]string{"hidden": nil, "control": {"TMPDIR": "/tmp"}} {
		t.Run(name, func(t *testing.T) {
			log, succeeds := &testkit.Buffer{}, settings != nil
			c := start(t, func(o *local.Options) {
				o.Runner = &local.Runner{Log: log, Settings: settings, Under: testkit.UnderKernel(testkit.NoLandlock)}
			})
			r := c.tries("attack", attackInit)
			if r.Apart == nil || r.Apart.Level != "basic" {
				t.Fatalf("status %s, %s, %+v; the runner's log:\n%s", r.Status, r.Message, r.Apart, log)
			}
			if (r.Status == evidence.StatusSuccess) != succeeds || slices.Contains(r.Apart.Gaps, sandbox.GapInit) != succeeds {
				t.Errorf("status %s, gaps %v, stderr %q; the runner's log:\n%s", r.Status, r.Apart.Gaps, r.Execution.Stderr, log)
			}
			if r := c.tries("after", "echo fine"); r.Status != evidence.StatusSuccess {
				t.Errorf("afterwards: status %s, %s; the runner's log:\n%s", r.Status, r.Message, log)
			}
		})
	}
}
