package executor

import (
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/evidence"
)

// Limits of what is done to find out what a step has changed in the package's folder.
const (
	maxNew        = 20_000      // names beyond those that were there before
	maxRehashed   = 32 << 20    // bytes of files that are read again
	maxChangeTime = time.Second // of looking at names
	maxNamed      = 1000        // files named of a step
	maxNamedBytes = 64 << 10    // names of a run, all together
)

// contents are the files in the package's folder, by name.
type contents map[string]fileState

// fileState is what tells a file from another one, or from itself before it was written to. What a
// script does through shared memory in a /tmp that is one changes none of it.
type fileState struct {
	size    int64
	inode   uint64
	changed int64 // when, as the kernel says, in nanoseconds
	regular bool
	sum     string // digest; "" where it is not known
}

// same reports whether two states are of one file that nobody has written to.
func (s fileState) same(o fileState) bool {
	s.sum, o.sum = "", ""
	return s == o
}

// remember notes what was extracted, for changed.
func (r *run) remember(files []bundle.FileDigest) {
	r.contents, _ = r.dir.look(len(files))
	for _, f := range files {
		if state, ok := r.contents[f.Name]; ok {
			state.sum = f.SHA256
			r.contents[f.Name] = state
		}
	}
}

// changed names, in the record of a step, the files that are not as they were before it: new ones,
// those that are gone, and those with other contents.
func (r *run) changed(record *evidence.Step) {
	now, whole := r.dir.look(len(r.contents))
	var names []string
	left := int64(maxRehashed)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		before, ok := r.contents[name]
		state := now[name]
		if ok && state.same(before) {
			state.sum = before.sum
		} else {
			state.sum = r.sumAgain(name, state, &left)
			if !ok || state.sum == "" || state.sum != before.sum {
				names = append(names, name)
			}
		}
		now[name] = state
	}
	for name := range r.contents {
		if _, ok := now[name]; !ok && whole {
			names = append(names, name)
		}
	}
	if !whole {
		record.MoreChanged++
		maps.Copy(now, missing(r.contents, now)) // they were not looked at
	}
	r.contents = now
	slices.Sort(names)
	r.nameChanged(record, names)
}

// nameChanged puts names into the record, as far as there is room for them.
func (r *run) nameChanged(record *evidence.Step, names []string) {
	for _, name := range names {
		name = r.masker.String(printableName(name))
		if len(record.ChangedFiles) == maxNamed || r.named+len(name) > maxNamedBytes {
			record.MoreChanged++
			continue
		}
		r.named += len(name)
		record.ChangedFiles = append(record.ChangedFiles, name)
	}
}

// sumAgain is the digest of a file as it is now; "" where it is too much work.
func (r *run) sumAgain(name string, state fileState, left *int64) string {
	if !state.regular || state.size > *left {
		return ""
	}
	*left -= state.size
	f, info, err := openRegular(r.dir.contents, name)
	if err != nil || info.Size() != state.size {
		return ""
	}
	defer f.Close()
	sum, err := digest(f, info.Size())
	if err != nil {
		return ""
	}
	return sum
}

// missing is what is in a and not in b.
func missing(a, b contents) contents {
	rest := contents{}
	for name, state := range a {
		if _, ok := b[name]; !ok {
			rest[name] = state
		}
	}
	return rest
}
