package claim

import (
	"context"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// maxEntries bounds each list of a package's record; the oldest are dropped.
const maxEntries = 2000

// Package is what ran of one package in one environment.
type Package struct {
	header
	Environment string `json:"environment"`
	Name        string `json:"name"`
	// Current is the version that succeeded last.
	Current string `json:"current,omitempty"`
	// Versions says under which contents each version was first started.
	Versions []Version `json:"versions"`
	// Done lists what succeeded, the last one last.
	Done []Success `json:"done"`

	state store.Bucket
	etag  string
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
func (p *Package) Seen(version string) string {
	for _, v := range slices.Backward(p.Versions) {
		if v.Version == version {
			return v.DirHash
		}
	}
	return ""
}

// Succeeded returns the run that did what key identifies; "" if none did.
func (p *Package) Succeeded(key string) string {
	for _, d := range slices.Backward(p.Done) {
		if d.Key == key {
			return d.RunID
		}
	}
	return ""
}

// Ran returns the run of a run key, as far as it is recorded; "" if none is.
func (p *Package) Ran(key string) string {
	part := "-" + key[:min(len(key), 12)]
	for _, v := range p.Versions {
		if strings.Contains(v.RunID, part) {
			return v.RunID
		}
	}
	for _, d := range p.Done {
		if strings.Contains(d.RunID, part) {
			return d.RunID
		}
	}
	return ""
}

// Began notes that a version was started.
func (p *Package) Began(v Version) {
	if p.Seen(v.Version) != v.DirHash {
		p.Versions = last(append(p.Versions, v))
	}
}

// Ended notes a success, once.
func (p *Package) Ended(d Success) {
	if slices.ContainsFunc(p.Done, func(known Success) bool { return known.RunID == d.RunID }) {
		return
	}
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

func (p *Package) object() string { return "packages/" + p.Environment + "/" + p.Name + ".json" }

// ReadPackage reads a package's record; one that does not exist is empty.
func ReadPackage(ctx context.Context, state store.Bucket, environment, name string) (*Package, error) {
	p := &Package{Environment: environment, Name: name, Versions: []Version{}, Done: []Success{}, state: state}
	etag, err := load(ctx, state, p.object(), p)
	if err == nil && (p.Environment != environment || p.Name != name) {
		err = corrupt(state, "packages/"+environment+"/"+name+".json", nil)
	}
	p.etag = etag
	return p, err
}

// Update changes the record, reading it again as often as others write it meanwhile.
func (p *Package) Update(ctx context.Context, change func(*Package)) error {
	for range attempts {
		change(p)
		info, err := write(ctx, p.state, p.object(), p.etag, p)
		if err == nil {
			p.etag = info.ETag
			return nil
		}
		if !lostRace(err) {
			return err
		}
		fresh, err := ReadPackage(ctx, p.state, p.Environment, p.Name)
		if err != nil {
			return err
		}
		*p = *fresh
	}
	return conflict(p.state, p.object(), nil)
}
