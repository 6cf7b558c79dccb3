package problem_test

import (
	"errors"
	"fmt"
	"testing"

	"cemli-executor/internal/problem"
)

func TestErrorKeepsTheCauseOutOfTheMessage(t *testing.T) {
	t.Parallel()
	cause := errors.New("secret detail")
	err := problem.New(problem.Problem{Code: "store.denied", Where: "bucket/a", Message: "cannot get"}, cause)
	if got, want := err.Message(), "bucket/a: cannot get"; got != want {
		t.Errorf("message %q; want %q", got, want)
	}
	if got, want := err.Error(), "bucket/a: cannot get (store.denied): secret detail"; got != want {
		t.Errorf("error %q; want %q", got, want)
	}
	if !errors.Is(fmt.Errorf("run: %w", err), cause) || problem.CodeOf(fmt.Errorf("run: %w", err)) != "store.denied" {
		t.Error("the cause or the code is lost when the error is wrapped")
	}
}

func TestMessageCountsTheOthers(t *testing.T) {
	t.Parallel()
	err := problem.Join([]problem.Problem{
		{Code: "a.a", Message: "first"}, {Code: "b.b", Message: "second"}, {Code: "c.c", Message: "third"},
	})
	if got, want := problem.Of(err, problem.Problem{}).Message(), "first (and 2 more)"; got != want {
		t.Errorf("message %q; want %q", got, want)
	}
	if problem.Join(nil) != nil {
		t.Error("no problems are an error")
	}
}

func TestOfGivesEveryErrorACode(t *testing.T) {
	t.Parallel()
	err := problem.Of(errors.New("disk on fire"), problem.Problem{Code: "request.internal"})
	if err.Code() != "request.internal" || err.Message() != "disk on fire" {
		t.Errorf("got %s, %q", err.Code(), err.Message())
	}
}

// Two letters in the wrong order are one mistake.
func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"change_ticket", "type", "name"}
	for word, want := range map[string]string{
		"change_tiket": "change_ticket", "tpye": "type", "nmae": "name", "chnage_tikcet": "change_ticket", "xpye": "",
		"names": "name", "zzz": "", "": "",
	} {
		if got := problem.Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q; want %q", word, got, want)
		}
	}
}
