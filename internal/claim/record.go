package claim

import (
	"context"
	"slices"
	"strings"
	"time"
)

// maxEntries bounds each list of a package's record; the oldest are dropped.
const maxEntries = 2000

// recordVersion is the version of records; since version 2 they say what is applied of each parameter set.
const recordVersion = 2

// Package is what ran of one package in one environment.
type Package struct {
	header
	Environment string `json:"environment"`
	Name        string `json:"name"`
	// Versions says with which contents each version was first started.
	Versions []Version `json:"versions"`
	// Sets lists the entries of each parameter set, oldest first; "" is the set of a package without sets.
	Sets map[string][]Entry `json:"sets,omitempty"`
	// Declared are the parameter sets that manifests declare, by dirhash.
	Declared map[string][]string `json:"declared,omitempty"`
	// Done and Current are from version 1: successes, oldest first, without their sets, and the version of the last
	// one. Sort converts them.
	Done    []Success `json:"done"`
	Current string    `json:"current,omitempty"`

	book   Book
	etag   string
	sorted map[string]Sorted
}

// Version is a version with the contents it stands for.
type Version struct {
	Version string    `json:"version"`
	DirHash string    `json:"dirhash"`
	RunID   string    `json:"run_id"`
	Start   time.Time `json:"start"`
}

// Success is one success as version 1 recorded it. Key identifies contents, parameter set and parameters.
type Success struct {
	Key     string    `json:"key"`
	RunID   string    `json:"run_id"`
	Version string    `json:"version"`
	End     time.Time `json:"end"`
	// Lost says that the run's result no longer exists, so that its set is unknown.
	Lost bool `json:"lost,omitempty"`
}

func (p *Package) version() int { return recordVersion }

// Seen returns the dirhash with which a version was last started, regardless of its build metadata; "" if it never
// was.
func (p *Package) Seen(version string) string {
	plain, _, _ := strings.Cut(version, "+")
	for _, v := range slices.Backward(p.Versions) {
		if known, _, _ := strings.Cut(v.Version, "+"); known == plain {
			return v.DirHash
		}
	}
	return ""
}

// Ran returns the run of a run key, as far as recorded; "" if none is.
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
	for _, list := range p.Sets {
		for _, e := range list {
			if strings.Contains(e.RunID, part) {
				return e.RunID
			}
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

// Sort converts what version 1 recorded: entries gives each success its set and the rest of its entry. A success
// without an entry is lost; only its key is known. Update sorts in the same way a record that it reads again.
func (p *Package) Sort(entries map[string]Sorted) {
	p.sorted = entries
	if entries == nil {
		return
	}
	var lost []Success
	older := map[string][]Entry{}
	for _, d := range p.Done {
		sorted, ok := entries[d.RunID]
		switch {
		case !ok:
			d.Lost = true
			lost = append(lost, d)
		case p.Find(sorted.Set, d.RunID) == nil:
			older[sorted.Set] = append(older[sorted.Set], p.declare(sorted.Entry))
		}
	}
	p.Done, p.Current = append([]Success{}, lost...), ""
	for set, list := range older {
		if p.Sets == nil {
			p.Sets = map[string][]Entry{}
		}
		p.Sets[set] = append(list, p.Sets[set]...)
	}
	for set := range older {
		p.trim(set)
	}
}

// Unsorted lists the successes of version 1 that have not been sorted.
func (p *Package) Unsorted() []Success {
	return slices.DeleteFunc(slices.Clone(p.Done), func(d Success) bool { return d.Lost })
}

// Forgotten returns the run of a lost success with a key; "" if there is none.
func (p *Package) Forgotten(key string) string {
	for _, d := range slices.Backward(p.Done) {
		if d.Lost && d.Key == key {
			return d.RunID
		}
	}
	return ""
}

// Lost is the version of the newest success whose set is unknown; "" if there is none.
func (p *Package) Lost() string {
	for _, d := range slices.Backward(p.Done) {
		if d.Lost {
			return d.Version
		}
	}
	return ""
}

// Sorted is an entry and its parameter set.
type Sorted struct {
	Set   string
	Entry Entry
}

func last[T any](list []T) []T { return list[max(0, len(list)-maxEntries):] }

func (p *Package) object() string { return "packages/" + p.Environment + "/" + p.Name + ".json" }

// Package reads a package's record; one that does not exist is empty.
func (b Book) Package(ctx context.Context, name string) (*Package, error) {
	p := &Package{Environment: b.Environment, Name: name, Versions: []Version{}, Done: []Success{}, book: b}
	mine := func() bool { return p.Environment == b.Environment && p.Name == name }
	etag, err := find(ctx, b.State, p.object(), p, mine)
	p.etag = etag
	return p, err
}

// Update changes the record, and reads it again if others have written it meanwhile.
func (p *Package) Update(ctx context.Context, change func(*Package)) error {
	for range attempts {
		change(p)
		info, err := write(ctx, p.book.State, p.object(), p.etag, p)
		if err == nil {
			p.etag = info.ETag
			return nil
		}
		if !lostRace(err) {
			return err
		}
		fresh, err := p.book.Package(ctx, p.Name)
		if err != nil {
			return err
		}
		fresh.Sort(p.sorted)
		*p = *fresh
	}
	return conflict(p.book.State, p.object(), nil)
}
