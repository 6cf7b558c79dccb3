package claim

import (
	"maps"
	"slices"
	"time"
)

// Standing is what became of what a run applied.
type Standing string

// The standings of an entry.
const (
	Applied Standing = "applied" // the run succeeded, and nothing undid it
	Undone  Standing = "undone"  // the run undid it itself, or a later rollback of it succeeded
	Partial Standing = "partial" // anything else: it failed, timed out, was interrupted, or its undo was not finished
)

// Entry is one run with action apply whose first run-phase step began.
type Entry struct {
	RunID    string   `json:"run_id"`
	Standing Standing `json:"standing"`
	// Key identifies contents, parameter set and parameters.
	Key     string `json:"key"`
	Version string `json:"version"`
	DirHash string `json:"dirhash"`
	// SHA256 is the zip's digest; Kept says that there is a copy of it in the results bucket.
	SHA256 string `json:"sha256,omitempty"`
	Kept   bool   `json:"kept,omitempty"`
	// Object is the name that the zip had in the packages bucket, and Uploaded when it was written.
	Object   string    `json:"object,omitempty"`
	Uploaded time.Time `json:"uploaded,omitzero"`
	// Declares are the parameter sets that the manifest declares; empty: none. In a record they are once
	// for all entries of the same contents.
	Declares []string  `json:"declares,omitempty"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end,omitzero"`
	// Result is the SHA-256 of the run's result.json; empty where it is not known.
	Result string `json:"result_sha256,omitempty"`
	// Resumes is the run that this one went on from, and ResumedBy the one that went on from this one:
	// what this one did is that one's then.
	Resumes   string `json:"resumes,omitempty"`
	ResumedBy string `json:"resumed_by,omitempty"`
	// RolledBackBy are the last runs that were to undo this one, whether they succeeded or not, in their
	// order.
	RolledBackBy []string `json:"rolled_back_by,omitempty"`
}

// counts reports whether the entry says something of what is applied.
func (e Entry) counts() bool { return e.Standing != Undone && e.ResumedBy == "" }

// maxRecorded bounds the entries of a record, all sets together: a manifest has 1,000 sets at most.
const maxRecorded = 1000

// perSet is how many entries a set may have among so many sets.
func perSet(sets int) int { return min(200, max(2, maxRecorded/max(1, sets))) }

// Latest is the newest entry of a set that is not undone; nil where there is none.
func (p *Package) Latest(set string) *Entry {
	list := p.Sets[set]
	for i := range slices.Backward(list) {
		if list[i].counts() {
			return &list[i]
		}
	}
	return nil
}

// Applied is what is applied of a set now: its newest entry that is not undone, if that is applied;
// nil where nothing is.
func (p *Package) Applied(set string) *Entry {
	if e := p.Latest(set); e != nil && e.Standing == Applied {
		return e
	}
	return nil
}

// Find returns the entry of a run; nil where the record has none.
func (p *Package) Find(set, runID string) *Entry {
	list := p.Sets[set]
	if i := slices.IndexFunc(list, func(e Entry) bool { return e.RunID == runID }); i >= 0 {
		return &list[i]
	}
	return nil
}

// Outcome is the entry that says what became of what a run did: its own, or that of the last run that went
// on from it.
func (p *Package) Outcome(set string, e *Entry) *Entry {
	for range p.Sets[set] {
		if next := p.Find(set, e.ResumedBy); next != nil {
			e = next
		}
	}
	return e
}

// After returns the newest entry of a set that counts and came after a run; nil where none did. Of a
// run that has no entry those that started later are.
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

// Newest is the entry of all sets that is applied now and ended last; nil where nothing is applied.
func (p *Package) Newest() *Entry {
	var newest *Entry
	for set := range p.Sets {
		if e := p.Applied(set); e != nil && (newest == nil || e.End.After(newest.End)) {
			newest = e
		}
	}
	return newest
}

// Add notes an entry of a set, once for each run; one that goes on from another takes that one's place.
func (p *Package) Add(set string, e Entry) {
	if p.Sets == nil {
		p.Sets = map[string][]Entry{}
	}
	if before := p.Find(set, e.Resumes); before != nil {
		before.ResumedBy = e.RunID
	}
	if p.Find(set, e.RunID) != nil {
		return // an invocation that finds that run dead may note it once more
	}
	e = p.declare(e)
	p.Sets[set] = append(p.Sets[set], e)
	for name := range p.Sets {
		p.trim(name)
	}
	p.forget()
}

// Insert notes an entry of a run that is older than others: it was not noted then.
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

// declare takes the sets that contents declare out of an entry, to be known once.
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

// forget drops what contents declare that are applied nowhere any more.
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

// RolledBack notes, once, that a run was to undo what another had done, and whether it did.
func (p *Package) RolledBack(set, runID, by string, standing Standing) {
	e := p.Find(set, runID)
	if e == nil || slices.Contains(e.RolledBackBy, by) {
		return // an invocation that finds that run dead may note it once more
	}
	e.RolledBackBy = append(e.RolledBackBy, by)
	e.RolledBackBy = e.RolledBackBy[max(0, len(e.RolledBackBy)-maxRollbacks):]
	e.Standing = standing
}

// maxRollbacks bounds the rollbacks of a run that its entry names.
const maxRollbacks = 20

// LastRollback is the last run that was to undo this one; "" if none was.
func (e Entry) LastRollback() string {
	if len(e.RolledBackBy) == 0 {
		return ""
	}
	return e.RolledBackBy[len(e.RolledBackBy)-1]
}
