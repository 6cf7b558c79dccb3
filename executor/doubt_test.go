package executor_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// doubtful makes scripts leave something in this program: after the first one it is in doubt. It returns what happened.
func (b *bench) doubtful() *[]string {
	var happened []string
	doubt := false
	b.config.Children = executor.Children{
		Enter: func() func() {
			happened = append(happened, "enter")
			return func() { happened = append(happened, "leave") }
		},
		Spawn: func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error) {
			happened = append(happened, "script")
			defer func() { doubt = true }()
			return sandbox.Run(ctx, c)
		},
		Doubt: func() error {
			if !doubt {
				return nil
			}
			return problem.New(problem.Problem{Code: "sandbox.doubt", Message: "something was left"}, nil)
		},
	}
	return &happened
}

// The run that has left something ends as ever; nothing else is begun by this program, and what was asked for stays
// accepted, for another.
func TestNothingIsBegunInDoubt(t *testing.T) {
	b := newBench(t)
	happened := b.doubtful()
	info := b.upload("sets.zip", pack(t, files{
		"manifest.json": `{"name":"sets","version":"1.0.0","type":"extension"` + sets + `}`,
		"steps/1.sh":    "echo ran", "steps/2.sh": "echo ran",
	}), store.PutOptions{})
	results, err := executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag))
	if err != nil || len(results) != 2 || results[0].Status != evidence.StatusSuccess || results[1].Status != evidence.StatusInProgress {
		t.Fatalf("%+v, %v", results, err)
	}
	if want := []string{"enter", "script", "script", "leave"}; !slices.Equal(*happened, want) {
		t.Errorf("%v; want %v", *happened, want)
	}
	other := b.upload("other.zip", pack(t, files{
		"manifest.json": `{"name":"other","version":"1.0.0","type":"extension"}`, "steps/1.sh": "echo ran",
	}), store.PutOptions{})
	result, err := b.run(t.Context(), event(other.Name, other.ETag))
	if code(result) != "sandbox.doubt" || result.Execution.Ran {
		t.Errorf("in doubt: %s, %+v, %v", result.Status, result.Error, err)
	}
	if executor.New(b.config).HasTime(t.Context()) {
		t.Error("an item of a batch would be begun")
	}
	b.config.Children = executor.Children{} // the next program
	if _, err := executor.New(b.config).Sweep(t.Context(), "sweep"); err != nil {
		t.Fatal(err)
	}
	results, err = executor.New(b.config).Run(t.Context(), event(info.Name, info.ETag))
	if err != nil || len(results) != 2 || results[1].Status != evidence.StatusSuccess {
		t.Errorf("the other set: %+v, %v", results, err)
	}
	if result, err := b.run(t.Context(), event(other.Name, other.ETag)); err != nil || result.Status != evidence.StatusSuccess {
		t.Errorf("the other package: %s, %+v, %v", result.Status, result.Error, err)
	}
}

// What a script has left is cleaned up also where the run itself fails.
func TestWhatFailsIsCleanedUp(t *testing.T) {
	b := newBench(t)
	happened := b.doubtful()
	b.config.Spawn = func(context.Context, sandbox.Command) (sandbox.Outcome, error) {
		return sandbox.Outcome{}, errors.New("no process")
	}
	if r := b.ran(files{"steps/run.sh": "echo ran"}); r.Status != evidence.StatusFailed && r.Status != evidence.StatusError {
		t.Errorf("%s, %+v", r.Status, r.Error)
	}
	if want := []string{"enter", "leave"}; !slices.Equal(*happened, want) {
		t.Errorf("%v; want %v", *happened, want)
	}
}
