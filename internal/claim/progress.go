package claim

import (
	"context"
	"encoding/json"
	"time"
)

// Progress says how far a run is while it runs. The run's executor writes it again and again, each time over its own
// last write only: whoever wants the run to end writes the request to cancel it into the same document, and the
// executor, whose next write is refused for that, reads it there.
type Progress struct {
	header
	Environment string `json:"environment"`
	RunID       string `json:"run_id"`
	// Step is the step that runs, or ran last; empty if only a cancel was written so far.
	Step    string    `json:"step,omitempty"`
	Phase   string    `json:"phase,omitempty"`
	Number  int       `json:"number,omitempty"`
	Elapsed int64     `json:"elapsed_ms"` // since the run began
	Tail    string    `json:"tail"`       // the end of the output so far, masked
	At      time.Time `json:"at"`
	// Undoing says that undo scripts run, which nobody can cancel.
	Undoing bool `json:"undoing,omitempty"`

	Cancel    bool            `json:"cancel,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Reference string          `json:"reference,omitempty"`
	By        json.RawMessage `json:"by,omitempty"` // who asks, if the platform said

	book Book
	etag string
}

func progressPrefix(environment string) string { return "progress/" + environment + "/" }

func (p *Progress) object() string { return progressPrefix(p.Environment) + p.RunID + ".json" }

// Progresses are the documents of an environment's runs.
type Progresses struct{ book Book }

// Progress returns the documents that say how far runs are.
func (b Book) Progress() Progresses { return Progresses{b} }

// New returns the document of a run that has none yet.
func (all Progresses) New(runID string) *Progress {
	return &Progress{Environment: all.book.Environment, RunID: runID, book: all.book}
}

// Of reads how far a run is; nil if nobody has written it.
func (all Progresses) Of(ctx context.Context, runID string) (*Progress, error) {
	p := all.New(runID)
	where := p.object()
	mine := func() bool { return p.Environment == all.book.Environment && p.RunID == runID }
	etag, err := find(ctx, all.book.State, where, p, mine)
	if err != nil || etag == "" {
		return nil, err
	}
	p.etag = etag
	return p, nil
}

// Remove removes the document of a run that has ended. A failure is logged: a sweep will remove it.
func (all Progresses) Remove(ctx context.Context, runID string) {
	if err := remove(ctx, all.book.State, all.New(runID).object(), ""); err != nil {
		all.book.Log.Warn("the progress of a run that has ended could not be removed", "run_id", runID,
			"error", err.Error())
	}
}

// List lists the runs that have a document, at most limit.
func (all Progresses) List(ctx context.Context, limit int) ([]string, error) {
	runs, _, err := listed(ctx, all.book.State, progressPrefix(all.book.Environment), "", limit)
	return runs, err
}

// Put stores the document if the stored one is the one that was read or written through this value before. It returns
// false if somebody else has written it.
func (p *Progress) Put(ctx context.Context) (bool, error) {
	p.At = p.book.now()
	info, err := write(ctx, p.book.State, p.object(), p.etag, p)
	switch {
	case err == nil:
		p.etag = info.ETag
		return true, nil
	case lostRace(err):
		return false, nil
	}
	return false, err
}
