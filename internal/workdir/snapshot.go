package workdir

import (
	"maps"
	"slices"
	"time"
)

// Limits of the work to find out what a step changed in the package's folder.
const (
	maxNew        = 20_000      // names beyond those known before
	maxRehashed   = 32 << 20    // bytes of files that are hashed again
	maxChangeTime = time.Second // for reading names and states
)

// Snapshot is the state of the files in the package's folder at one moment. A file counts as changed if its size,
// inode or ctime differs, and its digest as well. Writes through shared memory, on a /tmp that is in memory, change
// none of these and go unnoticed.
type Snapshot struct {
	dir   *Dir
	files files
}

// files are the states of files in the package's folder, by name.
type files map[string]fileState

// fileState tells whether a file is still the same and has not been written to.
type fileState struct {
	size    int64
	inode   uint64
	changed int64 // the ctime, in nanoseconds
	regular bool
	sum     string // the digest; "" if unknown
}

// same reports whether both states are of the same, unwritten file.
func (s fileState) same(o fileState) bool {
	s.sum, o.sum = "", ""
	return s == o
}

// Snapshot records the states of the package's files; sums has the digest of each, by name.
func (d *Dir) Snapshot(sums map[string]string) *Snapshot {
	s := &Snapshot{dir: d}
	s.files, _ = d.look(len(sums))
	for name, sum := range sums {
		if state, ok := s.files[name]; ok {
			state.sum = sum
			s.files[name] = state
		}
	}
	return s
}

// Changed names the files that differ from the snapshot, in byte order: new, removed and changed ones. It then
// updates the snapshot. Whole is false if there was too much to look at; what was not looked at does not count as
// changed.
func (s *Snapshot) Changed() (names []string, whole bool) {
	now, whole := s.dir.look(len(s.files))
	left := int64(maxRehashed)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		before, ok := s.files[name]
		state := now[name]
		if ok && state.same(before) {
			state.sum = before.sum
		} else {
			state.sum = s.dir.sumAgain(name, state, &left)
			if !ok || state.sum == "" || state.sum != before.sum {
				names = append(names, name)
			}
		}
		now[name] = state
	}
	for name, state := range s.files {
		switch _, ok := now[name]; {
		case ok:
		case whole:
			names = append(names, name)
		default:
			now[name] = state // not looked at
		}
	}
	s.files = now
	slices.Sort(names)
	return names, whole
}

// sumAgain is a file's digest now; "" if it takes too much work.
func (d *Dir) sumAgain(name string, state fileState, left *int64) string {
	if !state.regular || state.size > *left {
		return ""
	}
	*left -= state.size
	f, info, err := OpenRegular(d.contents, name)
	if err != nil || info.Size() != state.size {
		return ""
	}
	defer f.Close()
	sum, err := Digest(f, info.Size())
	if err != nil {
		return ""
	}
	return sum
}
