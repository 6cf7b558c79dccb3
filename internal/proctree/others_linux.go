package proctree

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process is another process, as the kernel lists it.
type Process struct {
	ID, Parent int
	State      byte // R, S, D, Z, T …
	User       int  // effective
}

// Others are the processes of this process's user that are neither this one nor descend from it, without those that
// have ended and wait to be reaped. It may miss processes that start meanwhile.
func Others() ([]Process, error) {
	user := os.Geteuid()
	all, err := list(func(owner int) bool { return owner == user }) // as are all who descend from this one
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(all))
	for _, p := range all {
		parents[p.ID] = p.Parent
	}
	self := os.Getpid()
	return slices.DeleteFunc(all, func(p Process) bool {
		return p.State == 'Z' || p.State == 'X' || descends(p.ID, self, parents)
	}), nil
}

// descends reports whether a process is another one, or descends from it.
func descends(pid, from int, parents map[int]int) bool {
	for range len(parents) + 1 {
		if pid == from {
			return true
		}
		parent, ok := parents[pid]
		if !ok {
			return false
		}
		pid = parent
	}
	return false
}

// All are all processes that this one can see.
func All() ([]Process, error) { return list(func(int) bool { return true }) }

// list lists the processes of some users.
func list(of func(user int) bool) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, ok := look(pid, of); ok { // otherwise it has ended
			all = append(all, p)
		}
	}
	return all, nil
}

// look reads what the kernel says of a process, if it is of some users. The owner of its folder is its user, whatever
// else is hidden of it.
func look(pid int, of func(user int) bool) (p Process, ok bool) {
	folder := "/proc/" + strconv.Itoa(pid)
	var owner unix.Stat_t
	if unix.Stat(folder, &owner) != nil || !of(int(owner.Uid)) {
		return p, false
	}
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		return p, false
	}
	// Fields after the name, which may contain spaces and brackets: state, parent.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return p, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return Process{ID: pid, Parent: parent, State: fields[0][0], User: int(owner.Uid)}, err == nil
}
