// A function for tests, in the place of the executor and in that of the runner: it says who it is, and does what the
// request says.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"time"

	fdk "github.com/fnproject/fdk-go"
)

type request struct{ Do, Arg string }

func main() { fdk.Handle(fdk.HandlerFunc(serve)) }

func serve(_ context.Context, in io.Reader, out io.Writer) {
	var q request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		panic(err)
	}
	os.Stderr.WriteString("function " + os.Getenv("FN_FN_NAME") + "\n")
	switch q.Do {
	case "shell":
		said, err := exec.Command("sh", "-c", q.Arg).CombinedOutput()
		if err != nil {
			said = append(said, err.Error()...)
		}
		_, _ = out.Write(said)
	case "answer": // with as many bytes as the text has
		_, _ = out.Write(make([]byte, len(q.Arg)))
	case "large":
		_, _ = out.Write(make([]byte, 6<<20+1))
	case "sleep":
		time.Sleep(time.Hour)
	}
}
