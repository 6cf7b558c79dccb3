package claim

import (
	"context"
	"time"

	"cemli-executor/internal/store"
)

// Watch says since when this state bucket knows what ran. It is created once and never changed: if it is missing, the
// bucket has lost what ran before.
type Watch struct {
	header
	// Since is the time from which sweeps look for uploads that did not run.
	Since time.Time `json:"since"`
}

const watchObject = "watch.json"

// Watch reads the watch; ok is false if there is none.
func (b Book) Watch(ctx context.Context) (w Watch, ok bool, err error) {
	etag, err := load(ctx, b.State, watchObject, &w)
	return w, etag != "", err
}

// StartWatch creates the watch, unless another invocation has done so meanwhile.
func (b Book) StartWatch(ctx context.Context, since time.Time) (Watch, error) {
	w := Watch{Since: since}
	_, err := write(ctx, b.State, watchObject, "", &w)
	if lostRace(err) {
		var ok bool
		if w, ok, err = b.Watch(ctx); err == nil && !ok {
			err = conflict(b.State, watchObject, nil)
		}
	}
	return w, err
}

// Cursor is where the next sweep of an environment goes on.
type Cursor struct {
	header
	Environment string `json:"environment"`
	Open        string `json:"open"`    // the pending request to begin with
	Uploads     string `json:"uploads"` // the object to begin with
	// Version is the version of that object after which to go on; "": begin with its newest.
	Version string `json:"version,omitempty"`
	// Listed counts what sweeps have looked at since they last began anew, and Found says that there was something to
	// do. Quiet is how much the last complete round that found nothing to do had listed.
	Listed int  `json:"listed,omitempty"`
	Found  bool `json:"found,omitempty"`
	Quiet  int  `json:"quiet,omitempty"`
	// Todo is the run whose to-do entry is next.
	Todo string `json:"todo,omitempty"`
	// Swept is when the last sweep ended.
	Swept time.Time `json:"swept,omitzero"`

	state store.Bucket
	etag  string
}

// Cursor reads the cursor; if there is none, it is at the beginning of everything.
func (b Book) Cursor(ctx context.Context) (*Cursor, error) {
	c := &Cursor{Environment: b.Environment, state: b.State}
	etag, err := find(ctx, b.State, c.object(), c, func() bool { return c.Environment == b.Environment })
	c.etag = etag
	return c, err
}

// Save stores the cursor, unless another sweep has stored one meanwhile: both have done their work, so either place
// will do. Save may be called repeatedly.
func (c *Cursor) Save(ctx context.Context) error {
	info, err := write(ctx, c.state, c.object(), c.etag, c)
	if lostRace(err) {
		return nil
	}
	if err == nil {
		c.etag = info.ETag
	}
	return err
}

func (c *Cursor) object() string { return "sweep/" + c.Environment + ".json" }
