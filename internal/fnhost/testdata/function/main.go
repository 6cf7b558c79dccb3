// A function for tests: it does what the request says.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	fdk "github.com/fnproject/fdk-go"
)

type request struct {
	Do  string
	Arg string
}

func main() {
	if os.Getenv("START") == "fail" {
		os.Stderr.WriteString("cannot start: broken\n")
		os.Exit(1)
	}
	if os.Getenv("START") == "hang" {
		time.Sleep(time.Hour)
	}
	fdk.Handle(fdk.HandlerFunc(serve))
}

func serve(ctx context.Context, in io.Reader, out io.Writer) {
	var q request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		panic(err)
	}
	switch q.Do {
	case "describe":
		deadline, _ := ctx.Deadline()
		call := fdk.GetContext(ctx)
		_ = json.NewEncoder(out).Encode(map[string]any{
			"pid": os.Getpid(), "uid": os.Getuid(), "env": os.Environ(), "deadline": deadline, "call": call.CallID(),
			"header": call.Header(),
		})
	case "sleep": // with a daemon that ignores SIGTERM, in a session of its own and with nothing that tells whose it is
		cmd := exec.Command("setsid", "sh",
			"-c", "(env -i setsid sh -c \"trap '' TERM; cd /; echo \\$\\$ >"+q.Arg+"; while :; do sleep 1; done\" &)")
		_ = cmd.Start()
		time.Sleep(time.Hour)
	case "shell":
		said, err := exec.Command("sh", "-c", q.Arg).CombinedOutput()
		if err != nil {
			said = append(said, err.Error()...)
		}
		_, _ = out.Write(said)
	case "wait": // until a file exists
		for {
			if _, err := os.Stat(q.Arg); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	case "panic":
		panic("on purpose")
	case "exit":
		os.Exit(7)
	case "large":
		_, _ = io.WriteString(out, strings.Repeat("x", 7<<20))
	case "log":
		os.Stderr.WriteString(strings.Repeat(q.Arg+"\n", 100))
	}
}
