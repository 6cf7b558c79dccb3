package container

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/proctree"
)

// Find looks, before any script has run, what container this program is in. Scripts can write to the folders, if
// they can to any; the work folder is among them, or below, and left as it is.
func Find(getenv func(string) string, work string, folders ...string) *Container {
	c := &Container{places: places{work: filepath.Clean(work)}, known: map[int]bool{}}
	for _, folder := range append(folders, "/tmp", "/dev/shm", getenv("HOME")) {
		if filepath.IsAbs(folder) && folder != "/" {
			c.places.folders = append(c.places.folders, filepath.Clean(folder))
		}
	}
	all, err := proctree.All()
	switch {
	case err != nil:
		c.shared = err.Error()
	case getenv("TMPDIR") != "":
		c.shared = "TMPDIR is set, as where other programs have files in /tmp"
	default:
		c.shared = company(all)
	}
	for _, p := range all {
		c.known[p.ID] = p.User == os.Geteuid()
	}
	return c
}

// company says who else there is besides this program, its parent, that one's, and so on up to the init.
func company(all []proctree.Process) string {
	line := map[int]bool{os.Getpid(): true}
	parents := map[int]int{}
	for _, p := range all {
		parents[p.ID] = p.Parent
	}
	for pid := os.Getpid(); pid > 1 && len(line) <= len(all); {
		pid = parents[pid]
		line[pid] = true
	}
	if !line[1] {
		return "its init is not to be seen"
	}
	for _, p := range all {
		if !line[p.ID] {
			return fmt.Sprintf("there are other processes, as %d", p.ID)
		}
	}
	return ""
}

// endOthers ends processes of this user that no one but a script can have made: whose process that was is gone, and
// this program is not their parent.
func (c *Container) endOthers() {
	others, err := proctree.Others()
	if err != nil {
		c.Doubt("processes cannot be listed: %v", err)
		return
	}
	for _, p := range others {
		if !c.known[p.ID] {
			_ = unix.Kill(p.ID, unix.SIGKILL)
			c.Doubt("a process was left that does not come from here: %d", p.ID)
		}
	}
}
