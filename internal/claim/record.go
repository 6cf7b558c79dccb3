// Package claim keeps what runs have to know of each other, in the state bucket. Every
// document is JSON with a schema version and changed by conditional writes only, so that
// of two writers one has to look again.
//
//	packages/<environment>/<name>.json   what ran of a package in an environment
//	claims/<environment>/<key>.json      who does what a run key means, and how far it is
//
// A document that cannot be read, or was written by a newer version, stops whoever needs
// it (state.corrupt, state.newer): nothing runs on a guess, and nothing is overwritten.
package claim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// schemaVersion is the version of documents that this package writes.
const schemaVersion = 1

// Bounds of a document.
const (
	maxBytes   = 4 << 20
	maxEntries = 2000 // of each list; the oldest are dropped
)

// Package is what ran of one package in one environment.
type Package struct {
	SchemaVersion int    `json:"schema_version"`
	Environment   string `json:"environment"`
	Name          string `json:"name"`
	// Current is the version that succeeded last.
	Current string `json:"current,omitempty"`
	// Versions says under which contents each version was first started.
	Versions []Version `json:"versions"`
	// Done lists what succeeded, the last one last.
	Done []Success `json:"done"`
}

// Version is a version with the contents it stands for.
type Version struct {
	Version string    `json:"version"`
	DirHash string    `json:"dirhash"`
	RunID   string    `json:"run_id"`
	Start   time.Time `json:"start"`
}

// Success is one success. Key identifies contents, parameter set and parameters.
type Success struct {
	Key     string    `json:"key"`
	RunID   string    `json:"run_id"`
	Version string    `json:"version"`
	End     time.Time `json:"end"`
}

// Seen returns the dirhash under which a version was started last; "" if it never was.
func (p Package) Seen(version string) string {
	for _, v := range slices.Backward(p.Versions) {
		if v.Version == version {
			return v.DirHash
		}
	}
	return ""
}

// Succeeded returns the run that did what key identifies; "" if none did.
func (p Package) Succeeded(key string) string {
	for _, d := range slices.Backward(p.Done) {
		if d.Key == key {
			return d.RunID
		}
	}
	return ""
}

// Began notes that a version is being started.
func (p *Package) Began(v Version) {
	if p.Seen(v.Version) != v.DirHash {
		p.Versions = last(append(p.Versions, v))
	}
}

// Ended notes a success.
func (p *Package) Ended(d Success) {
	p.Current = d.Version
	p.Done = last(append(p.Done, d))
}

// Undone notes that what a run had done was undone.
func (p *Package) Undone(runID string) {
	p.Done = slices.DeleteFunc(p.Done, func(d Success) bool { return d.RunID == runID })
	p.Current = ""
	if n := len(p.Done); n > 0 {
		p.Current = p.Done[n-1].Version
	}
}

func last[T any](list []T) []T { return list[max(0, len(list)-maxEntries):] }

func object(environment, name string) string { return "packages/" + environment + "/" + name + ".json" }

// ReadPackage reads a package's record; one that does not exist is empty.
func ReadPackage(ctx context.Context, state store.Bucket, environment, name string) (Package, error) {
	p, _, err := read(ctx, state, environment, name)
	return p, err
}

func read(ctx context.Context, state store.Bucket, environment, name string) (Package, string, error) {
	p := Package{SchemaVersion: schemaVersion, Environment: environment, Name: name, Versions: []Version{}, Done: []Success{}}
	where := object(environment, name)
	etag, err := load(ctx, state, where, &p)
	if err == nil && (p.SchemaVersion != schemaVersion || p.Environment != environment || p.Name != name) {
		err = corrupt(state, where, nil)
	}
	return p, etag, err
}

// load reads a document; the ETag is empty, and the document as it was, if there is none.
func load(ctx context.Context, state store.Bucket, where string, into any) (etag string, err error) {
	body, info, err := state.Get(ctx, where, store.GetOptions{})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	doc, err := io.ReadAll(io.LimitReader(body, maxBytes+1))
	if err != nil {
		return "", store.Error(store.ErrUnavailable, "read", state.Name(), where, err)
	}
	var version struct {
		SchemaVersion int `json:"schema_version"`
	}
	switch err := json.Unmarshal(doc, &version); {
	case err != nil || len(doc) > maxBytes:
		return "", corrupt(state, where, err)
	case version.SchemaVersion > schemaVersion:
		return "", problem.New(problem.Problem{
			Code: "state.newer", Where: state.Name() + "/" + where,
			Message: fmt.Sprintf("the record has the version %d; this executor knows %d", version.SchemaVersion, schemaVersion),
			Hint:    "deploy the newer executor again",
		}, nil)
	}
	if err := json.Unmarshal(doc, into); err != nil || version.SchemaVersion != schemaVersion {
		return "", corrupt(state, where, err)
	}
	return info.ETag, nil
}

func corrupt(state store.Bucket, where string, cause error) error {
	return problem.New(problem.Problem{
		Code: "state.corrupt", Where: state.Name() + "/" + where, Message: "the record is damaged; nothing was run and nothing overwritten",
		Hint: "find out who wrote it, restore an earlier version of the object, or delete it to forget what ran before",
	}, cause)
}

// attempts is how often a record is read again because another run wrote it first.
const attempts = 20

// UpdatePackage changes a package's record, reading it again as often as others write it
// meanwhile. An error of change ends it and leaves the record as it was.
func UpdatePackage(ctx context.Context, state store.Bucket, environment, name string, change func(*Package) error) error {
	var err error
	for range attempts {
		var p Package
		var etag string
		if p, etag, err = read(ctx, state, environment, name); err != nil {
			return err
		}
		if err = change(&p); err != nil {
			return err
		}
		var doc []byte
		if doc, err = json.Marshal(p); err != nil {
			return fmt.Errorf("encode record of %s: %w", name, err)
		}
		_, err = state.Put(ctx, object(environment, name), bytes.NewReader(doc), int64(len(doc)),
			store.PutOptions{IfNoneMatch: etag == "", IfMatch: etag, ContentType: "application/json"})
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrChanged) {
			return err
		}
	}
	return store.Error(store.ErrUnavailable, "update", state.Name(), object(environment, name), err)
}
