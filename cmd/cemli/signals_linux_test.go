package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/testkit"
)

// long is a package whose script begins, leaves processes and goes on for ever. It tells where it is
// in files of the folder.
func long(t *testing.T) (folder, notes string) {
	t.Helper()
	notes = testkit.TempDir(t)
	folder = packageOf(t, `N=`+notes+`; (trap "" TERM HUP; while :; do sleep 0.1; done) & echo $! >$N/child
setsid bash -c 'trap "" TERM HUP; echo $$ >'$N'/daemon; while :; do sleep 0.1; done' &
until [ -s $N/daemon ]; do sleep 0.01; done; echo $$ >$N/script; while :; do echo line; sleep 0.05; done`)
	return folder, notes
}

// packageOf makes the folder of a package with one script.
func packageOf(t *testing.T, script string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"name":"long","version":"1.0.0","type":"extension"}`, "steps/run.sh": script,
	} {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
			os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// started starts cemli and waits until the script of long has begun.
func started(t *testing.T, notes string, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(notes, "script")); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the script has not begun")
		}
	}
}

// program is cemli with arguments.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// At level none scripts may write where they like, and are this user's.
	return &exec.Cmd{
		Path: self, Args: append([]string{"cemli"}, args...), Env: append(os.Environ(), "TMPDIR="+os.TempDir()),
	}
}

// nobodyLeft fails if one of the script's processes is there.
func nobodyLeft(t *testing.T, notes string) {
	t.Helper()
	for _, name := range []string{"script", "child", "daemon"} {
		text, err := os.ReadFile(filepath.Join(notes, name))
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
			if err != nil || bytes.Contains(stat, []byte(") Z ")) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s is left", name)
			}
		}
	}
}

// interrupted checks what a run has left that was interrupted.
func interrupted(t *testing.T, results string, ended error) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(ended, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("cemli ended with %v; want exit code %d", ended, exitInterrupted)
	}
	found, err := filepath.Glob(filepath.Join(results, "runs", "*", "result.json*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no result in %s, %v", results, err)
	}
	doc, err := os.ReadFile(found[0])
	var r struct{ Status string }
	if err != nil || json.Unmarshal(doc, &r) != nil || r.Status != "interrupted" {
		t.Errorf("status %q, %v", r.Status, err)
	}
}

// A session that is dropped, a service that is stopped, a person who presses ^C: the run ends, and
// leaves evidence.
func TestSignalsInterruptARun(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			folder, notes := long(t)
			results := filepath.Join(t.TempDir(), "results")
			cmd := program(t, "run", folder, "--results", results, "--sandbox", "none")
			started(t, notes, cmd)
			times := 1
			if signal == syscall.SIGHUP {
				times = 3 // the kernel and the shell send it
			}
			for range times {
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			interrupted(t, results, cmd.Wait())
			nobodyLeft(t, notes)
		})
	}
}

// So does "cemli run … | head", which takes the reader away.
func TestAReaderThatIsGoneInterruptsARun(t *testing.T) {
	folder, notes := long(t)
	results := filepath.Join(t.TempDir(), "results")
	cmd := program(t, "run", folder, "--results", results, "--sandbox", "none", "-o", "text")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	started(t, notes, cmd)
	_ = w.Close()
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	interrupted(t, results, cmd.Wait())
	nobodyLeft(t, notes)
}

func TestNohupIsKept(t *testing.T) {
	notes := testkit.TempDir(t)
	folder := packageOf(t, "echo >"+notes+"/script; until [ -e "+notes+"/go ]; do sleep 0.01; done")
	cmd := program(t, "run", folder, "--sandbox", "none")
	cmd.Args = append([]string{"bash", "-c", `trap "" HUP; exec -a cemli "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/bash"
	started(t, notes, cmd)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(notes, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("cemli ended with %v", err)
	}
}

// After SIGKILL there is no evidence, but nothing of the script goes on either.
func TestNothingOfARunSurvivesSIGKILL(t *testing.T) {
	folder, notes := long(t)
	cmd := program(t, "run", folder, "--sandbox", "none")
	started(t, notes, cmd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	nobodyLeft(t, notes)
}
