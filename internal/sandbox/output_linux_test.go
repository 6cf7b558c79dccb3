package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/testkit"
)

// both runs a script with both streams in one text, in order of arrival.
func both(t *testing.T, script string) (string, sandbox.Outcome) {
	t.Helper()
	cmd, out, _ := bash(t, script)
	cmd.Stderr, cmd.Linger = out, 10*time.Second
	got, err := sandbox.Run(t.Context(), cmd)
	if err != nil || got.OutputLost {
		t.Fatalf("outcome %+v, error %v", got, err)
	}
	return out.String(), got
}

// A script that sends its output through a logger ends before the logger does.
func TestLoggersLoseNothing(t *testing.T) {
	lines := func(prefix string) string {
		var all strings.Builder
		for n := range 200 {
			fmt.Fprintf(&all, "%sline %d\n", prefix, n)
		}
		return all.String()
	}
	const print = "for ((n = 0; n < 200; n++)); do echo line $n; done; "
	for name, c := range map[string]struct{ script, want string }{
		"tee":   {`exec > >(tee -a "$HOME/run.log") 2>&1; ` + print + "exit 3", lines("")},
		"sed":   {`exec > >(sed 's/^/: /'); ` + print + "exit 3", lines(": ")},
		"sed 2": {`exec 2> >(sed 's/^/: /' >&2); ` + strings.ReplaceAll(print, "$n", "$n >&2") + "exit 3", lines(": ")},
		"loop":  {`exec > >(while read -r line; do echo ": $line"; done) 2>&1; ` + print + "exit 3", lines(": ")},
		"chain": {`exec > >(sed 's/^/: /' | tee "$HOME/run.log" | cat); ` + print + "exit 3", lines(": ")},
		"slow":  {`exec > >(sleep 0.3; cat); ` + print + "exit 3", lines("")},
	} {
		for range 10 {
			got, outcome := both(t, c.script)
			if got != c.want || outcome.ExitCode != 3 {
				t.Fatalf("%s: exit code %d, %d bytes of %d:\n%.200q", name, outcome.ExitCode, len(got), len(c.want),
					got)
			}
		}
	}
}

// What a logger writes to a file is complete when the command has ended.
func TestALoggersFileIsComplete(t *testing.T) {
	for range 10 {
		cmd, _, _ := bash(t,
			`exec > >(tee "$HOME/run.log"; sleep 0.1; echo more >>"$HOME/run.log") 2>&1; seq 1000; exit 1`)
		cmd.Linger = 10 * time.Second
		if _, err := sandbox.Run(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(cmd.Dir, "run.log"))
		if err != nil || !strings.HasSuffix(string(text), "\n1000\nmore\n") {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
	}
}

// A process that holds the output and never ends is waited for, but not for long, and not beyond the command's time.
func TestWhatHoldsTheOutputIsNotWaitedForForEver(t *testing.T) {
	const never = 24 * time.Hour // no test is as long
	for name, c := range map[string]struct {
		script        string
		linger, limit time.Duration
		least         time.Duration
	}{
		"a daemon": {
			`sleep 100000 & echo $! >child`, 300 * time.Millisecond, never, 300 * time.Millisecond,
		},
		"a daemon that closed it": {`sleep 100000 >/dev/null 2>&1 & echo $! >child`, never, never, 0},
		"past the end of its time": {
			`sleep 100000 & echo $! >child`, never, 500 * time.Millisecond, 100 * time.Millisecond,
		},
		"a daemon that prints for ever": {
			`while :; do echo x; sleep 0.01; done & echo $! >child`, 300 * time.Millisecond, never,
			300 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, _, _ := bash(t, c.script)
			cmd.Linger = c.linger
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			got, err := sandbox.Run(ctx, cmd)
			if err != nil || got.ExitCode != 0 || got.Stopped {
				t.Errorf("outcome %+v, error %v", got, err)
			}
			if got.Took < c.least {
				t.Errorf("it took %s, and the output has to be waited for", got.Took)
			}
			gone(t, filepath.Join(cmd.Dir, "child"))
		})
	}
}

// Lines that processes write one after the other arrive in that order, on whichever stream.
func TestTheOrderOfTwoStreams(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct{ script, want string }{
		"in turns": {`echo A; echo B >&2; echo C; echo D >&2`, "A\nB\nC\nD\n"},
		"some together": {
			`echo A; echo B; echo C >&2; echo D >&2; echo E >&2; echo F; /bin/echo G >&2; echo H`,
			"A\nB\nC\nD\nE\nF\nG\nH\n",
		},
		"traced": {
			`set -x; for i in 1 2 3; do echo $i; done`,
			"+ for i in 1 2 3\n+ echo 1\n1\n+ for i in 1 2 3\n+ echo 2\n2\n+ for i in 1 2 3\n+ echo 3\n3\n",
		},
		"opened anew": {
			`echo A >/dev/stdout; echo B >/dev/stderr; echo C; echo D >/dev/stderr; echo E >/dev/stdout`,
			"A\nB\nC\nD\nE\n",
		},
		"long lines": {
			`x=$(printf '%5000s' | tr ' ' x); echo $x; echo B >&2; echo $x; echo $x >&2; echo C`,
			long + "\nB\n" + long + "\n" + long + "\nC\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := 0
			for range 20 {
				if got, _ := both(t, c.script); got != c.want {
					wrong++
					t.Logf("%.100q", got)
				}
			}
			if wrong > 0 {
				t.Errorf("the order was wrong %d times in 20", wrong)
			}
		})
	}
}

// Nothing is lost if writes to the pipe and to a reopened pipe are mixed.
func TestStreamsOpenedAnewLoseNothing(t *testing.T) {
	got, _ := both(t,
		`for ((n = 0; n < 300; n++)); do printf x >/dev/stdout; head -c 4096 /dev/zero | tr '\0' y;
head -c 5000 /dev/zero | tr '\0' z >/dev/stdout; done`)
	for letter, want := range map[string]int{"x": 300, "y": 300 * 4096, "z": 300 * 5000} {
		if n := strings.Count(got, letter); n != want {
			t.Errorf("%d of %d times %s", n, want, letter)
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	got, _ := both(t,
		`for w in 1 2 3 4 5 6; do (for ((n = 0; n < 2000; n++)); do echo "writer $w line $n" >&$((n % 2 + 1));
done) & done; wait`)
	if n := strings.Count(got, "\n"); n != 12000 {
		t.Errorf("%d lines of 12000", n)
	}
	if n := strings.Count(got, "writer 3 line 1999\n"); n != 1 {
		t.Errorf("the last line came %d times", n)
	}
}

// BenchmarkOutput measures how fast a command's output is read.
func BenchmarkOutput(b *testing.B) {
	for name, script := range map[string]string{
		"large-writes": "head -c 1000000000 /dev/zero",
		"lines":        "for ((n = 0; n < 100000; n++)); do echo a line of ordinary length $n; done",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := sandbox.Command{
					Path: "/bin/bash", Args: []string{"-c", script}, Dir: testkit.TempDir(b),
					Env:    []string{"PATH=/usr/bin:/bin"},
					Stdout: io.Discard, Stderr: io.Discard, Level: sandbox.LevelNone,
				}
				if _, err := sandbox.Run(b.Context(), cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
