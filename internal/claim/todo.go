package claim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// Todo is what is left to be done for a run whose result is stored, apart from its claim, which ends without
// it. It is there before the run's pending request goes.
type Todo struct {
	header
	Environment string `json:"environment"`
	RunID       string `json:"run_id"`
	// Kinds say what is left. Those that nobody here knows stay for a version that does.
	Kinds []string `json:"kinds"`
	// ETag and VersionID name the upload that the run is of, and Uploaded is when it was written.
	ETag      string    `json:"etag"`
	VersionID string    `json:"version_id,omitempty"`
	Uploaded  time.Time `json:"uploaded"`
	Created   time.Time `json:"created"`
	// Read is until when the log was read for it, where a sweep has not come to the end of that.
	Read time.Time `json:"read,omitzero"`

	state store.Bucket
	etag  string
}

func todoPrefix(environment string) string { return "todo/" + environment + "/" }

func (t *Todo) object() string { return todoPrefix(t.Environment) + t.RunID + ".json" }

// Put stores the entry, unless the run has one.
func (t *Todo) Put(ctx context.Context, state store.Bucket) error {
	_, err := write(ctx, state, t.object(), "", t)
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// Todos lists runs of which something is left, in the order of their ids, from start on; next is where the
// next page starts, empty at the end.
func (b Book) Todos(ctx context.Context, start string, limit int) (runs []string, next string, err error) {
	return listed(ctx, b.State, todoPrefix(b.Environment), start, limit)
}

// Todo reads the entry of a run; nil if there is none.
func (b Book) Todo(ctx context.Context, runID string) (*Todo, error) {
	t := &Todo{}
	where := todoPrefix(b.Environment) + runID + ".json"
	etag, err := load(ctx, b.State, where, t)
	switch {
	case err != nil:
		return nil, err
	case etag == "":
		return nil, nil //nolint:nilnil // there is none
	case t.Environment != b.Environment || t.RunID != runID:
		return nil, corrupt(b.State, where, nil)
	}
	t.state, t.etag = b.State, etag
	return t, nil
}

// Done notes that one kind is done; after the last one the entry goes. Where another has changed it meanwhile
// it stays, and what is done is found done the next time.
func (t *Todo) Done(ctx context.Context, kind string) error {
	next := *t
	next.Kinds = slices.DeleteFunc(slices.Clone(t.Kinds), func(k string) bool { return k == kind })
	if len(next.Kinds) == 0 {
		return remove(ctx, t.state, t.object(), t.etag)
	}
	return t.replace(ctx, next)
}

// Reach notes until when the log was read; zero: the next sweep begins anew.
func (t *Todo) Reach(ctx context.Context, read time.Time) error {
	if t.Read.Equal(read) {
		return nil
	}
	next := *t
	next.Read = read
	return t.replace(ctx, next)
}

// replace stores the entry as it is to be, unless another has changed it meanwhile.
func (t *Todo) replace(ctx context.Context, next Todo) error {
	info, err := write(ctx, t.state, t.object(), t.etag, &next)
	if lostRace(err) {
		return nil
	}
	if err == nil {
		next.etag = info.ETag
		*t = next
	}
	return err
}

// listed lists the documents below a prefix, by their names without it.
func listed(ctx context.Context, state store.Bucket, prefix, start string, limit int) (names []string, next string, err error) {
	opts := store.ListOptions{Prefix: prefix, Limit: limit}
	if start != "" {
		opts.Start = prefix + start
	}
	page, err := state.List(ctx, opts)
	if err != nil {
		return nil, "", err
	}
	for _, o := range page.Objects {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(o.Name, prefix), ".json"); ok {
			names = append(names, name)
		}
	}
	return names, strings.TrimPrefix(page.Next, prefix), nil
}
