package claim

import (
	"context"
	"time"
)

// Runner is what a runner found of itself when it was last probed: its word, which results of its jobs repeat.
type Runner struct {
	header
	Environment string   `json:"environment"`
	Label       string   `json:"label"`
	Kind        string   `json:"kind"`
	ID          string   `json:"id"`
	Version     string   `json:"version"`
	Level       string   `json:"level"` // of its sandbox
	Gaps        []string `json:"gaps"`
	// Credentials say what its token is granted: none (it has no token), ungranted or granted.
	Credentials string    `json:"credentials"`
	Probed      time.Time `json:"probed"`
}

// Runners are the documents of an environment's runners.
type Runners struct{ book Book }

// RunnersOf returns the documents that say what runners found of themselves.
func RunnersOf(b Book) Runners { return Runners{b} }

func (all Runners) object(label string) string {
	return "runners/" + all.book.Environment + "/" + label + ".json"
}

// Of reads what a runner found of itself; nil if it was never probed, or another one had its label then.
func (all Runners) Of(ctx context.Context, label, id string) (*Runner, error) {
	r, _, err := all.find(ctx, label)
	if err != nil || r.ID != id {
		return nil, err
	}
	return &r, nil
}

func (all Runners) find(ctx context.Context, label string) (r Runner, etag string, err error) {
	mine := func() bool { return r.Environment == all.book.Environment && r.Label == label }
	etag, err = find(ctx, all.book.State, all.object(label), &r, mine)
	return r, etag, err
}

// Put stores what a runner found of itself just now. If another probe does so at the same time, either is kept.
func (all Runners) Put(ctx context.Context, r Runner) error {
	r.Environment, r.Probed = all.book.Environment, all.book.now()
	_, etag, err := all.find(ctx, r.Label)
	if err != nil {
		return err
	}
	if _, err := write(ctx, all.book.State, all.object(r.Label), etag, &r); err != nil && !lostRace(err) {
		return err
	}
	return nil
}

// Ask begins to read what a runner found of itself, beside other work. It is zero if that is not
// known, or no label is given.
func (all Runners) Ask(ctx context.Context, label, id string) <-chan Runner {
	found := make(chan Runner, 1)
	if label == "" { // there is no runner
		found <- Runner{}
		return found
	}
	go func() {
		r, err := all.Of(ctx, label, id)
		if err != nil || r == nil {
			r = &Runner{}
		}
		found <- *r
	}()
	return found
}
