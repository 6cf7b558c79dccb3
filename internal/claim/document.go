package claim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// schemaVersion is the version of most documents that this package writes.
const schemaVersion = 1

// maxBytes bounds a document.
const maxBytes = 4 << 20

// attempts is how often a document is read again after losing a race for writing it.
const attempts = 20

// header begins every document.
type header struct {
	SchemaVersion int `json:"schema_version"`
	// Writer is random for each write, so that no two writes have the same bytes: a writer can recognise its own
	// document by the bytes alone.
	Writer string `json:"writer"`
}

func (h *header) head() *header { return h }

// version is the newest version of this kind of document that this package knows; it is the one that is written.
func (h *header) version() int { return schemaVersion }

type document interface {
	head() *header
	version() int
}

// load reads a document. If there is none, the ETag is empty and the document stays as it was.
func load(ctx context.Context, state store.Bucket, where string, into document) (etag string, err error) {
	doc, info, err := read(ctx, state, where)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var version header
	switch err := json.Unmarshal(doc, &version); {
	case err != nil || len(doc) > maxBytes:
		return "", corrupt(state, where, err)
	case version.SchemaVersion > into.version():
		return "", problem.New(problem.Problem{
			Code: "state.newer", Where: state.Name() + "/" + where,
			Message: fmt.Sprintf("the record has the version %d; this executor knows %d", version.SchemaVersion,
				into.version()),
			Hint: "deploy the newer executor again",
		}, nil)
	}
	if err := json.Unmarshal(doc, into); err != nil || version.SchemaVersion < schemaVersion {
		return "", corrupt(state, where, err)
	}
	return info.ETag, nil
}

// find reads a document that says itself what it is of; the ETag is empty if there is none. One that is not mine, as
// it was moved or changed by hand, is damaged.
func find(
	ctx context.Context, state store.Bucket, where string, into document, mine func() bool,
) (etag string, err error) {
	etag, err = load(ctx, state, where, into)
	if err == nil && etag != "" && !mine() {
		return "", corrupt(state, where, nil)
	}
	return etag, err
}

func read(ctx context.Context, state store.Bucket, where string) ([]byte, store.Info, error) {
	body, info, err := state.Get(ctx, where, store.GetOptions{})
	if err != nil {
		return nil, info, err
	}
	defer body.Close()
	doc, err := io.ReadAll(io.LimitReader(body, maxBytes+1))
	if err != nil {
		return nil, info, store.Error(store.ErrUnavailable, "read", state.Name(), where, err)
	}
	return doc, info, nil
}

func corrupt(state store.Bucket, where string, cause error) error {
	return problem.New(problem.Problem{
		Code: "state.corrupt", Where: state.Name() + "/" + where,
		Message: "the record is damaged; nothing was run and nothing overwritten",
		Hint: "find out who wrote it, restore an earlier version of the object, or delete it to forget what ran " +
			"before",
	}, cause)
}

// write stores a document if the stored one still has this ETag, or if there is none and etag is empty. After a
// refusal, or without an answer, it reads what is stored: if these very bytes are, an attempt whose answer was lost
// has succeeded, and so has the write.
func write(ctx context.Context, state store.Bucket, where, etag string, d document) (store.Info, error) {
	*d.head() = header{d.version(), rand.Text()}
	doc, err := json.Marshal(d)
	if err != nil {
		return store.Info{}, fmt.Errorf("encode %s: %w", where, err)
	}
	if len(doc) > maxBytes {
		return store.Info{}, problem.New(problem.Problem{
			Code: "state.large", Where: state.Name() + "/" + where,
			Message: fmt.Sprintf("the record would have %d bytes; at most %d are kept", len(doc), maxBytes),
			Hint:    "send fewer parameters, or split the package",
		}, nil)
	}
	opts := store.PutOptions{IfNoneMatch: etag == "", IfMatch: etag, ContentType: "application/json"}
	for again := false; ; again = true {
		info, err := state.Put(ctx, where, bytes.NewReader(doc), int64(len(doc)), opts)
		if err == nil {
			return info, nil
		}
		stored, info, readErr := read(ctx, state, where)
		switch {
		case readErr == nil && bytes.Equal(stored, doc):
			return info, nil
		case readErr != nil && !errors.Is(readErr, store.ErrNotFound):
			return store.Info{}, readErr // whether it was written is unknown
		}
		if again || !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil {
			return store.Info{}, err
		}
	}
}

// remove deletes a document, unless another invocation changed or deleted it meanwhile.
func remove(ctx context.Context, state store.Bucket, where, etag string) error {
	err := state.Delete(ctx, where, etag)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrChanged) {
		return nil
	}
	return err
}

// inTime refuses a clock that differs too much from the store's: the store wrote an object between the times before
// and after. Leases would not hold.
func inTime(written, before, after time.Time) error {
	if written.IsZero() || written.After(before.Add(-MaxSkew)) && written.Before(after.Add(MaxSkew)) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "state.clock",
		Message: fmt.Sprintf("the store's clock says %s, and this one %s: they are too far apart for leases to hold",
			written.UTC().Format(time.RFC3339), after.UTC().Format(time.RFC3339)),
		Hint: "set this machine's clock; nothing was executed",
	}, nil)
}

// CheckClock refuses a clock that differs too much from the store's. It is called before a lease is regarded as
// expired.
func (b Book) CheckClock(ctx context.Context) error {
	where, doc := "clock/"+b.Environment+".json", []byte(`{"schema_version":1}`)
	var err error
	for range attempts {
		before := b.now()
		var info store.Info
		info, err = b.State.Put(ctx, where, bytes.NewReader(doc), int64(len(doc)),
			store.PutOptions{ContentType: "application/json"})
		if err == nil {
			return inTime(info.Created, before, b.now())
		} else if !lostRace(err) {
			return err
		}
	}
	return conflict(b.State, where, err) // this write has no condition
}

// lostRace reports whether a write failed because another invocation wrote first.
func lostRace(err error) bool {
	return errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound)
}

// conflict is the error for a document whose every write fails because others changed it.
func conflict(state store.Bucket, where string, cause error) error {
	return problem.New(problem.Problem{
		Code: "state.conflict", Where: state.Name() + "/" + where,
		Message: fmt.Sprintf("the record was changed by others %d times in a row, or the store refuses to change it",
			attempts),
		Hint: "send the request again; if it persists, check that nothing but the function writes to the state bucket",
	}, cause)
}
