package executor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/confinement"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/workdir"
)

// machine checks what scripts would run on, at a level of the sandbox; where they run apart, what the executor does.
func (e probing) machine(ctx context.Context, level sandbox.Level, credentials []string) []ProbeLine {
	has := sandbox.Probe()
	landlock := has.NoLandlock.String()
	if landlock == "" {
		landlock = fmt.Sprintf("ABI %d", has.Landlock)
	}
	known := func(what, says string) ProbeLine { return ProbeLine{What: what, OK: true, Says: says} }
	lines := []ProbeLine{
		known("kernel",
			firstLine("/proc/sys/kernel/osrelease")+", ptrace_scope "+firstLine("/proc/sys/kernel/yama/ptrace_scope")),
		known("landlock", landlock),
		known("memory", cgroup("memory.max", "memory/memory.limit_in_bytes")+" bytes"),
		known("processes", cgroup("pids.current", "pids/pids.current")+" of "+cgroup("pids.max", "pids/pids.max")),
	}
	space := ProbeCheck{"tmp", func(context.Context) (string, error) { return e.probeSpace() }}
	if len(e.Runners) > 0 {
		return append(lines, space.line(ctx, e))
	}
	lines = append(lines, known("tools", strings.Join(tools(), " ")))
	seccomp := ProbeLine{
		What: "seccomp", OK: has.Seccomp || level == sandbox.LevelNone, Says: "the kernel filters system calls",
	}
	if !has.Seccomp {
		seccomp.Says, seccomp.Code = "the kernel cannot filter system calls", "sandbox.unavailable"
		seccomp.Cure = "use another kernel or container engine"
	}
	lines = append(lines, seccomp)
	for _, c := range []ProbeCheck{
		space,
		{"sandbox", func(ctx context.Context) (string, error) { return e.probeSandbox(ctx, level, credentials) }},
	} {
		lines = append(lines, c.line(ctx, e))
	}
	return lines
}

// firstLine returns the first line of a file; "unknown" if it cannot be read.
func firstLine(path string) string {
	doc, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(doc), "\n")
	return line
}

// cgroup returns a value of the container's control group, under its newer or its older name.
func cgroup(names ...string) string {
	for _, name := range names {
		if value := firstLine("/sys/fs/cgroup/" + name); value != "unknown" {
			return value
		}
	}
	return "unknown"
}

const usualTools = "bash curl git java jq node openssl perl psql python3 sqlite3 sqlplus tar unzip wget zip"

// tools lists the usual tools that scripts would find.
func tools() []string {
	var found []string
	for _, name := range strings.Fields(usualTools) {
		for _, dir := range filepath.SplitList(steps.SearchPath) {
			if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

func (e probing) probeSpace() (string, error) {
	if err := workdir.Prepare(e.WorkDir); err != nil {
		return "", err
	}
	free, ok, err := workdir.Free(e.WorkDir)
	if err != nil || !ok {
		return "unknown", err
	}
	inodes := strconv.FormatInt(free.Inodes, 10)
	if free.Inodes > 1<<40 {
		inodes = "any number of"
	}
	says := fmt.Sprintf("%d MB and %s files are free", free.Bytes>>20, inodes)
	if free.Bytes < workdir.Spare.Bytes || free.Inodes < workdir.Spare.Inodes {
		return "", problem.New(problem.Problem{
			Code: "archive.no_space", Message: says + ", and a run takes more",
			Hint: "give the function more memory, a quarter of which is its /tmp",
		}, nil)
	}
	return says, nil
}

// reach prints the positions of those of its arguments that a script can open.
const reach = `i=0; for f; do i=$((i+1)); if { : <"$f"; } 2>/dev/null; then echo $i; fi; done`

// probeSandbox runs a script that tries what scripts must not be able to do.
func (e probing) probeSandbox(ctx context.Context, level sandbox.Level, credentials []string) (string, error) {
	if err := confinement.Available(level); err != nil {
		return "", err
	}
	self := strconv.Itoa(os.Getpid())
	memory := []string{"/proc/" + self + "/environ", "/proc/" + self + "/mem", "/proc/1/environ"}
	secrets := append(memory, credentials...)
	outcome, opened, err := e.trial(ctx, level, secrets)
	if err != nil {
		return "", err
	}
	is := outcome.Layers.Level()
	says := fmt.Sprintf("level %s, at least %s being demanded; open are: %s", is, level,
		strings.Join(outcome.Layers.Gaps(), " "))
	switch {
	case len(opened) == 0:
		return says + "; scripts could open none of the places where credentials are", nil
	case is.Reaches(sandbox.LevelIsolated):
		return "", problem.New(problem.Problem{
			Code: "sandbox.failed",
			Message: fmt.Sprintf("a script at level %s could open what it must not: %d of %d places", is, len(opened),
				len(secrets)),
			Hint: "use another kernel or container engine, and report it",
		}, nil)
	}
	return says + fmt.Sprintf("; scripts can open the function's credentials (%d of %d places), "+
		"which CEMLI_SANDBOX accepts", len(opened), len(secrets)), nil
}

// trial runs a script in the sandbox, and returns the positions of the files that it could open.
func (e probing) trial(ctx context.Context, level sandbox.Level, files []string) (sandbox.Outcome, []string, error) {
	user, _ := sandbox.User(level)
	dir, err := workdir.Make(e.WorkDir, user)
	if err != nil {
		return sandbox.Outcome{}, nil, err
	}
	defer func() { _ = dir.Remove() }() // the next run removes what is left
	if err := dir.Give(); err != nil {
		return sandbox.Outcome{}, nil, err
	}
	var out bytes.Buffer
	spawn := e.Spawn
	if spawn == nil {
		spawn = sandbox.Run
	}
	outcome, err := spawn(ctx, sandbox.Command{
		Path: "/bin/bash", Args: append([]string{"-c", reach, "probe"}, files...), Dir: dir.Path(workdir.Package),
		Env:    []string{"PATH=" + steps.SearchPath},
		Stdout: &out, Stderr: &out, Grace: time.Second, Level: level, Limits: e.Scripts, Writable: dir.Writable(),
		Kept:    e.Keeper,
		Network: level == sandbox.LevelNone,
	})
	return outcome, strings.Fields(out.String()), err
}
