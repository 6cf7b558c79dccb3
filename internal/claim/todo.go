package claim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// Todo lists the follow-ups of a run that may take their time. It is kept apart from the claim, which is concluded
// without them, and is stored before the run's pending request is removed.
type Todo struct {
	header
	Environment string `json:"environment"`
	RunID       string `json:"run_id"`
	// Kinds are the follow-ups that are left. Kinds unknown to this version stay for one that knows them.
	Kinds []string `json:"kinds"`
	// ETag and VersionID name the upload that ran, and Uploaded is when it was written.
	ETag      string    `json:"etag"`
	VersionID string    `json:"version_id,omitempty"`
	Uploaded  time.Time `json:"uploaded"`
	Created   time.Time `json:"created"`
	// Read is the time up to which a sweep has read the log for this entry, if it did not reach the end.
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

// Todos lists the ids of runs that have an entry, in order, beginning at start; next is where the next page starts,
// empty at the end.
func (b Book) Todos(ctx context.Context, start string, limit int) (runs []string, next string, err error) {
	return listed(ctx, b.State, todoPrefix(b.Environment), start, limit)
}

// Todo reads the entry of a run; nil if there is none.
func (b Book) Todo(ctx context.Context, runID string) (*Todo, error) {
	t := &Todo{}
	where := todoPrefix(b.Environment) + runID + ".json"
	etag, err := find(ctx, b.State, where, t, func() bool { return t.Environment == b.Environment && t.RunID == runID })
	if err != nil || etag == "" {
		return nil, err
	}
	t.state, t.etag = b.State, etag
	return t, nil
}

// Done removes one kind; after the last one the entry is removed. If another invocation changed the entry meanwhile,
// it stays, and the next sweep finds the work done.
func (t *Todo) Done(ctx context.Context, kind string) error {
	next := *t
	next.Kinds = slices.DeleteFunc(slices.Clone(t.Kinds), func(k string) bool { return k == kind })
	if len(next.Kinds) == 0 {
		return remove(ctx, t.state, t.object(), t.etag)
	}
	return t.replace(ctx, next)
}

// Reach notes the time up to which the log was read; zero makes the next sweep begin anew.
func (t *Todo) Reach(ctx context.Context, read time.Time) error {
	if t.Read.Equal(read) {
		return nil
	}
	next := *t
	next.Read = read
	return t.replace(ctx, next)
}

// replace stores the new entry unless another invocation changed it meanwhile.
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

// listed lists the names of the documents below a prefix, without the prefix.
func listed(
	ctx context.Context, state store.Bucket, prefix, start string, limit int,
) (names []string, next string, err error) {
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
