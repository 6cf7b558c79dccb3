package local_test

import (
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cemli-executor/internal/local"
	"cemli-executor/internal/testkit"
)

// BenchmarkFunctionReady measures the time from the start of the function's process until its socket accepts a call;
// the platform allows 5 s.
func BenchmarkFunctionReady(b *testing.B) {
	binary, err := function()
	if err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ready")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "lsnr.sock")
	for b.Loop() {
		cmd := exec.Command(binary)
		cmd.Env = []string{"FN_FORMAT=http-stream", "FN_LISTENER=unix:" + socket}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		for {
			if conn, err := net.Dial("unix", socket); err == nil {
				_ = conn.Close()
				break
			}
			time.Sleep(100 * time.Microsecond) // the precision of the figure
		}
		b.StopTimer()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		_ = os.Remove(socket)
		b.StartTimer()
	}
}

// BenchmarkUploadToResult measures one package from upload to result on a warm function; compare with
// BenchmarkBareScript, the same script alone.
func BenchmarkUploadToResult(b *testing.B) { uploadToResult(b, nil) }

// BenchmarkUploadToResultApart is the same with the steps in a warm runner: what it takes more is what that costs.
func BenchmarkUploadToResultApart(b *testing.B) {
	uploadToResult(b, &local.Runner{Log: &testkit.Buffer{}})
}

func uploadToResult(b *testing.B, runner *local.Runner) {
	binary, err := function()
	if err != nil {
		b.Fatal(err)
	}
	c := &cloud{answers: make(chan answer, 1), log: &testkit.Buffer{}}
	stack, err := local.Start(local.Options{
		Dir: b.TempDir(), Binary: binary, Instances: 1, MemoryMB: 512, Timeout: time.Minute, Runner: runner,
		FunctionLog: c.log, Log: slog.New(slog.DiscardHandler), Answered: c.answered,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer stack.Close()
	c.Stack, c.t = stack, b
	// The same change over and over: one that may.
	data := testkit.Zip(b,
		map[string]string{
			"manifest.json": `{"name":"sample","version":"1.0.0","type":"extension","idempotent":true}`,
			"steps/run.sh":  "echo hello",
		})
	for b.Loop() {
		c.put("sample-1.0.0.zip", data)
		if a := c.answer(); a.err != nil {
			b.Fatal(a.err)
		}
	}
}

// BenchmarkBareScript is the script of BenchmarkUploadToResult without anything else.
func BenchmarkBareScript(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("bash", "-c", "echo hello").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
