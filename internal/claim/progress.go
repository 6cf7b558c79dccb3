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

// NewProgress returns the document of a run that has none yet.
func (b Book) NewProgress(runID string) *Progress {
	return &Progress{Environment: b.Environment, RunID: runID, book: b}
}

// Progress reads how far a run is; nil if nobody has written it.
func (b Book) Progress(ctx context.Context, runID string) (*Progress, error) {
	p := b.NewProgress(runID)
	etag, err := load(ctx, b.State, p.object(), p)
	switch {
	case err != nil:
		return nil, err
	case etag == "":
		return nil, nil //nolint:nilnil // there is none
	case p.Environment != b.Environment || p.RunID != runID:
		return nil, corrupt(b.State, progressPrefix(b.Environment)+runID+".json", nil)
	}
	p.etag = etag
	return p, nil
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

// RemoveProgress removes the document of a run that has ended. A failure is logged: a sweep will remove it.
func (b Book) RemoveProgress(ctx context.Context, runID string) {
	if err := remove(ctx, b.State, b.NewProgress(runID).object(), ""); err != nil {
		b.Log.Warn("the progress of a run that has ended could not be removed", "run_id", runID, "error", err.Error())
	}
}

// Progresses lists the runs that have such a document, at most limit.
func (b Book) Progresses(ctx context.Context, limit int) ([]string, error) {
	runs, _, err := listed(ctx, b.State, progressPrefix(b.Environment), "", limit)
	return runs, err
}
