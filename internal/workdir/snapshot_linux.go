package workdir

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// look lists the files in the package's folder, but not many more than expected; the second value says whether the
// list is complete.
func (d *Dir) look(expected int) (files, bool) {
	l := looker{found: make(files, expected), most: expected + maxNew, end: time.Now().Add(maxChangeTime)}
	top, err := d.contents.Open(".")
	if err != nil {
		return l.found, false
	}
	l.folder(top, "", 0)
	return l.found, !l.stopped
}

// looker walks through folders.
type looker struct {
	found   files
	most    int
	end     time.Time
	stopped bool
}

// folder lists what is in a folder, and closes it. A folder that cannot be listed counts as empty.
func (l *looker) folder(f *os.File, prefix string, depth int) {
	defer f.Close()
	for !l.stopped {
		names, err := f.Readdirnames(1000)
		for _, name := range names {
			l.entry(int(f.Fd()), prefix, name, depth)
		}
		if err != nil {
			return
		}
		l.stopped = l.stopped || time.Now().After(l.end)
	}
}

// entry notes a file, or walks into a folder. A folder that is deeper than packages may be is noted like a file.
func (l *looker) entry(dir int, prefix, name string, depth int) {
	var stat unix.Stat_t
	if l.stopped || unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR && depth < MaxDepth {
		if fd, err := unix.Openat(dir, name, openFolder, 0); err == nil {
			l.folder(os.NewFile(uintptr(fd), name), prefix+name+"/", depth+1) // a descriptor
		}
		return
	}
	if l.stopped = len(l.found) == l.most; l.stopped {
		return
	}
	l.found[prefix+name] = fileState{
		size: stat.Size, inode: stat.Ino, changed: stat.Ctim.Nano(), regular: stat.Mode&unix.S_IFMT == unix.S_IFREG,
	}
}
