package claim

import (
	"maps"
	"slices"
	"time"
)

// Standing is what has become of what a run applied.
type Standing string

// The standings of an entry.
const (
	Applied Standing = "applied" // the run succeeded, and nothing undid it
	Undone  Standing = "undone"  // the run undid it itself, or a later rollback succeeded
	Partial Standing = "partial" // anything else: it failed, timed out, was interrupted, or its undo was not finished
)

// Entry is one run with action apply whose first step of the run phase began.
type Entry struct {
	RunID    string   `json:"run_id"`
	Standing Standing `json:"standing"`
	// Key identifies contents, parameter set and parameters.
	Key     string `json:"key"`
	Version string `json:"version"`
	DirHash string `json:"dirhash"`
	// SHA256 is the zip's digest; Kept says that the results bucket has a copy of the zip.
	SHA256 string `json:"sha256,omitempty"`
	Kept   bool   `json:"kept,omitempty"`
	// Object is the name that the zip had in the packages bucket, and Uploaded when it was written.
	Object   string    `json:"object,omitempty"`
	Uploaded time.Time `json:"uploaded,omitzero"`
	// Declares are the parameter sets that the manifest declares; empty: none. A record stores them once for all
	// entries of the same contents.
	Declares []string  `json:"declares,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end,omitzero"`
	// Result is the SHA-256 of the run's result.json; empty if unknown.
	Result string `json:"result_sha256,omitempty"`
	// Resumes is the run that this one resumed, and ResumedBy the run that resumed this one and took over what it
	// did.
	Resumes   string `json:"resumes,omitempty"`
	ResumedBy string `json:"resumed_by,omitempty"`
	// RolledBackBy are the last runs that tried to undo this one, successful or not, in order.
	RolledBackBy []string `json:"rolled_back_by,omitempty"`
}

// counts reports whether the entry matters for what is applied.
func (e Entry) counts() bool { return e.Standing != Undone && e.ResumedBy == "" }

// maxRecorded bounds the entries of a record, over all sets: a manifest has at most 1,000 sets.
const maxRecorded = 1000

// perSet is how many entries each set may have if there are this many sets.
func perSet(sets int) int { return min(200, max(2, maxRecorded/max(1, sets))) }

// Latest is the newest entry of a set that is not undone; nil if there is none.
func (p *Package) Latest(set string) *Entry {
	list := p.Sets[set]
	for i := range slices.Backward(list) {
		if list[i].counts() {
			return &list[i]
		}
	}
	return nil
}

// Applied is the entry of what is applied of a set now; nil if its newest entry that is not undone is not applied.
func (p *Package) Applied(set string) *Entry {
	if e := p.Latest(set); e != nil && e.Standing == Applied {
		return e
	}
	return nil
}

// Find returns the entry of a run; nil if the record has none.
func (p *Package) Find(set, runID string) *Entry {
	list := p.Sets[set]
	if i := slices.IndexFunc(list, func(e Entry) bool { return e.RunID == runID }); i >= 0 {
		return &list[i]
	}
	return nil
}

// Outcome is the entry that says what has become of a run: its own, or that of the last run that resumed it.
func (p *Package) Outcome(set string, e *Entry) *Entry {
	for range p.Sets[set] {
		if next := p.Find(set, e.ResumedBy); next != nil {
			e = next
		}
	}
	return e
}

// After returns the newest entry of a set that counts and came after a run; nil if there is none. If the run has no
// entry, the entries that started after start are considered.
func (p *Package) After(set, runID string, start time.Time) *Entry {
	latest := p.Latest(set)
	switch found := p.Find(set, runID); {
	case latest == nil || latest.RunID == runID:
		return nil
	case found == nil && !latest.Start.After(start):
		return nil
	case found != nil && slices.IndexFunc(p.Sets[set], func(e Entry) bool { return e.RunID == latest.RunID }) <
		slices.IndexFunc(p.Sets[set], func(e Entry) bool { return e.RunID == runID }):
		return nil
	}
	return latest
}

// Newest is the entry, over all sets, that is applied now and ended last; nil if nothing is applied.
func (p *Package) Newest() *Entry {
	var newest *Entry
	for set := range p.Sets {
		if e := p.Applied(set); e != nil && (newest == nil || e.End.After(newest.End)) {
			newest = e
		}
	}
	return newest
}

// Add adds an entry to a set, once for each run. A run that resumes another takes over its place.
func (p *Package) Add(set string, e Entry) {
	if p.Sets == nil {
		p.Sets = map[string][]Entry{}
	}
	if before := p.Find(set, e.Resumes); before != nil {
		before.ResumedBy = e.RunID
	}
	if p.Find(set, e.RunID) != nil {
		return // an invocation that finds the run dead may add it again
	}
	e = p.declare(e)
	p.Sets[set] = append(p.Sets[set], e)
	for name := range p.Sets {
		p.trim(name)
	}
	p.forget()
}

// Insert adds the entry of an older run at its place in the order.
func (p *Package) Insert(set string, e Entry) {
	if p.Find(set, e.RunID) != nil {
		return
	}
	if p.Sets == nil {
		p.Sets = map[string][]Entry{}
	}
	list := p.Sets[set]
	at := slices.IndexFunc(list, func(known Entry) bool { return known.Start.After(e.Start) })
	if at < 0 {
		at = len(list)
	}
	p.Sets[set] = slices.Insert(list, at, p.declare(e))
	p.trim(set)
}

// declare moves the declared sets from an entry to the record, which stores them once.
func (p *Package) declare(e Entry) Entry {
	if len(e.Declares) > 0 {
		if p.Declared == nil {
			p.Declared = map[string][]string{}
		}
		p.Declared[e.DirHash] = e.Declares
	}
	e.Declares = nil
	return e
}

// forget drops the declared sets of contents that are applied nowhere any more.
func (p *Package) forget() {
	applied := map[string]bool{}
	for set := range p.Sets {
		if e := p.Applied(set); e != nil {
			applied[e.DirHash] = true
		}
	}
	maps.DeleteFunc(p.Declared, func(dirHash string, _ []string) bool { return !applied[dirHash] })
}

// trim drops the oldest entries of a set that has too many, but never the one that counts.
func (p *Package) trim(set string) {
	for len(p.Sets[set]) > perSet(len(p.Sets)) {
		first := 0
		if latest := p.Latest(set); latest != nil && latest.RunID == p.Sets[set][0].RunID {
			first = 1
		}
		p.Sets[set] = slices.Delete(p.Sets[set], first, first+1)
	}
}

// RolledBack notes, once, that the run by tried to undo a run, and with what standing.
func (p *Package) RolledBack(set, runID, by string, standing Standing) {
	e := p.Find(set, runID)
	if e == nil || slices.Contains(e.RolledBackBy, by) {
		return // an invocation that finds the run dead may note it again
	}
	e.RolledBackBy = append(e.RolledBackBy, by)
	e.RolledBackBy = e.RolledBackBy[max(0, len(e.RolledBackBy)-maxRollbacks):]
	e.Standing = standing
}

// maxRollbacks bounds how many rollbacks an entry names.
const maxRollbacks = 20

// LastRollback is the last run that tried to undo this one; "" if none did.
func (e Entry) LastRollback() string {
	if len(e.RolledBackBy) == 0 {
		return ""
	}
	return e.RolledBackBy[len(e.RolledBackBy)-1]
}
