package sandbox_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// With a keeper, a command ends as it does without one.
func TestAKeeperTellsHowItEnded(t *testing.T) {
	for _, c := range []struct {
		name, script string
		code         int
		signal       string
		stdout       string
	}{
		{"success", "echo hi", 0, "", "hi\n"},
		{"exit code", "exit 3", 3, "", ""},
		{"signal", "kill -SEGV $$", -1, "SIGSEGV", ""},
		{"a logger", "exec > >(sleep 0.1; sed s/^/:/); echo hi; exit 4", 4, "", ":hi\n"},
		{"a daemon", "sleep 100 & echo $! >child; echo hi", 0, "", "hi\n"},
	} {
		for _, level := range sandbox.Levels {
			t.Run(c.name+" at "+string(level), func(t *testing.T) {
				cmd, out, errs := bashAt(t, level, c.script)
				cmd.Kept, cmd.Linger = true, 500*time.Millisecond
				got, err := sandbox.Run(t.Context(), cmd)
				if err != nil || got.ExitCode != c.code || got.Signal != c.signal || got.Stopped ||
					out.String() != c.stdout {
					t.Errorf("outcome %+v, stdout %q, stderr %q, error %v", got, out.String(), errs.String(), err)
				}
				if !got.Layers.Level().Reaches(level) || got.Took <= 0 || got.MaxRSS == 0 {
					t.Errorf("outcome %+v", got)
				}
				if c.name == "a daemon" {
					gone(t, filepath.Join(cmd.Dir, "child"))
				}
			})
		}
	}
}

func TestAKeeperStopsInTime(t *testing.T) {
	cmd, out, _ := bash(t, `trap 'echo asked; exit 7' TERM; echo >ready; while :; do sleep 0.01; done`)
	cmd.Kept, cmd.Grace = true, 10*time.Second
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !fileHasText(filepath.Join(cmd.Dir, "ready")) {
			time.Sleep(time.Millisecond) // polls the script's own sign that it is ready
		}
		cancel()
	}()
	got, err := sandbox.Run(ctx, cmd)
	if err != nil || !got.Stopped || got.ExitCode != 7 || out.String() != "asked\n" {
		t.Errorf("outcome %+v, stdout %q, error %v", got, out.String(), err)
	}
}

func TestAKeepersProblemsAreToldOf(t *testing.T) {
	cmd, _, _ := bash(t, "")
	cmd.Kept, cmd.Path = true, "/no/such/program"
	if _, err := sandbox.Run(t.Context(), cmd); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("error %v; want one that names the program", err)
	}
	cmd, _, _ = bash(t, "")
	path := filepath.Join(cmd.Dir, "s.sh")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	cmd.Kept, cmd.Script, cmd.ScriptPath = true, script, "s.sh.other"
	if _, err := sandbox.Run(t.Context(), cmd); problem.CodeOf(err) != "step.modified" {
		t.Errorf("error %v; want step.modified", err)
	}
}

// A script that kills its keeper ends with it.
func TestAKeeperThatIsKilled(t *testing.T) {
	cmd, _, _ := bashAt(t, sandbox.LevelNone, `sleep 100 & echo $! >child; kill -9 $PPID; sleep 100`)
	cmd.Kept = true
	got, err := sandbox.Run(t.Context(), cmd)
	if err != nil || got.Signal != "SIGKILL" || got.ExitCode != -1 {
		t.Errorf("outcome %+v, error %v", got, err)
	}
	gone(t, filepath.Join(cmd.Dir, "child"))
}

// victimVariable is set in the process of TestKilled: the folder that it runs a command in.
const victimVariable = "CEMLI_TEST_KILLED"

// TestNothingSurvivesSIGKILL kills a program that runs a command, and looks for processes of the command.
func TestNothingSurvivesSIGKILL(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("needs setsid (util-linux)")
	}
	for _, level := range sandbox.Levels {
		t.Run(string(level), func(t *testing.T) {
			cmd, _, _ := bashAt(t, level, `trap "" TERM HUP; echo $$ >script; sleep 100 & echo $! >child
setsid bash -c 'trap "" TERM HUP; (setsid bash -c "echo \$\$ >deep; while :; do sleep 100; done" &) ; echo $$ >daemon; while :; do sleep 100; done' &
wait`)
			doc, err := json.Marshal(map[string]any{"level": level, "script": cmd.Args[1], "dir": cmd.Dir})
			if err != nil {
				t.Fatal(err)
			}
			// Its own parent adopts nothing: what is left would be init's.
			program := exec.Command(os.Args[0], "-test.run=^TestKilled$")
			program.Env = append(os.Environ(), victimVariable+"="+string(doc))
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			names := []string{"script", "child", "deep", "daemon"}
			for _, name := range names {
				path := filepath.Join(cmd.Dir, name)
				for end := time.Now().Add(20 * time.Second); !fileHasText(path); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("no %s", name)
					}
				}
			}
			if err := program.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = program.Wait()
			for _, name := range names {
				gone(t, filepath.Join(cmd.Dir, name))
			}
		})
	}
}

func TestKilled(t *testing.T) {
	doc := os.Getenv(victimVariable)
	if doc == "" {
		return // TestNothingSurvivesSIGKILL runs it
	}
	var c struct {
		Level       sandbox.Level
		Script, Dir string
	}
	if err := json.Unmarshal([]byte(doc), &c); err != nil {
		t.Fatal(err)
	}
	if id, ok := sandbox.User(c.Level); ok { // another one in this process
		if err := os.Chown(c.Dir, id, id); err != nil {
			t.Fatal(err)
		}
	}
	_, err := sandbox.Run(context.Background(), sandbox.Command{
		Path: "/bin/bash", Args: []string{"-c", c.Script}, Dir: c.Dir, Env: []string{"PATH=/usr/bin:/bin"},
		Stdout: os.Stderr, Stderr: os.Stderr, Grace: time.Minute, Level: c.Level, Network: true,
		Writable: []string{c.Dir}, Kept: true,
	})
	t.Fatal("it ended by itself: ", err)
}
