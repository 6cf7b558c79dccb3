package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/testkit"
)

// Without a terminal a step's output is there as it happens: the script ends only when its first line has been read.
func TestOutputIsLive(t *testing.T) {
	notes := testkit.TempDir(t)
	folder := packageOf(t, `echo begun; until [[ -e `+notes+`/go ]]; do sleep 0.01; done; echo over`)
	cmd := program(t, "run", folder, "--sandbox", "none")
	output, err := cmd.StderrPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal("the run has ended before its first line was there")
		}
		if strings.HasSuffix(line, "| begun\n") {
			break
		}
	}
	if err := os.WriteFile(filepath.Join(notes, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err := errors.Join(err, cmd.Wait()); err != nil || !strings.Contains(string(rest), "| over\n") {
		t.Errorf("%v\n%s", err, rest)
	}
}
