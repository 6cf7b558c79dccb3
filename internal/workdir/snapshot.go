package workdir

import (
	"maps"
	"slices"
	"time"
)

// Limits of what is done to find out what a step has changed in the package's folder.
const (
	maxNew        = 20_000      // names beyond those that were there before
	maxRehashed   = 32 << 20    // bytes of files that are read again
	maxChangeTime = time.Second // of looking at names
)

// Snapshot is how the files in the package's folder were at one moment. A file counts as changed by its
// size, inode and ctime, and, where those differ, by its digest. What a script does through shared memory,
// in a /tmp that is one, changes none of that.
type Snapshot struct {
	dir   *Dir
	files files
}

// files are files in the package's folder, by name.
type files map[string]fileState

// fileState is what tells a file from another one, or from itself before it was written to.
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

// Snapshot takes the package's files as they are now; sums has the digest of each, by name.
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

// Changed names the files that are not as they were in the snapshot, in byte order: new ones, those that
// are gone, and those with other contents. The snapshot then is of now. It is not whole where there was too
// much to look at; of what was not looked at nothing is known to have changed.
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
			now[name] = state // it was not looked at
		}
	}
	s.files = now
	slices.Sort(names)
	return names, whole
}

// sumAgain is the digest of a file as it is now; "" where it is too much work.
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
