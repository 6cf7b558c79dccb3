package proctree

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Adopt makes this process the parent of its orphaned descendants, for as long as it lives.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	return nil
}

// Strays are the children of this process in sessions other than its own, including zombies, except those in spared.
func Strays(spared ...int) ([]int, error) {
	children, err := children()
	if err != nil {
		return nil, err
	}
	own, err := unix.Getsid(0)
	if err != nil {
		return nil, fmt.Errorf("find session: %w", err)
	}
	return slices.DeleteFunc(children, func(pid int) bool {
		session, err := unix.Getsid(pid)
		return err != nil || session == own || slices.Contains(spared, pid)
	}), nil
}

// Signal sends a signal to a process group, and to those descendants of its leader and of strays that have left the
// group, until a deadline. It may miss processes that start meanwhile. It is no error if none is left.
func Signal(signal syscall.Signal, group int, until time.Time) error {
	_ = unix.Kill(-group, signal)
	strays, err := Strays(group)
	if err != nil {
		return err
	}
	for tree := append(strays, group); len(tree) > 0 && time.Now().Before(until); tree = tree[1:] {
		if below, err := childrenOf(strconv.Itoa(tree[0])); err == nil {
			tree = append(tree, below...)
		}
		if in, err := unix.Getpgid(tree[0]); err == nil && in != group {
			_ = unix.Kill(tree[0], signal)
		}
	}
	return nil
}

// Tasks counts the processes and threads of strays and of all their descendants, and stops soon after it has counted
// most. It may miss processes that start meanwhile.
func Tasks(most int) (int, error) {
	tree, err := Strays()
	if err != nil {
		return 0, err
	}
	threadsOf := threadsAndChildren
	if !listed() {
		if threadsOf, err = search(); err != nil {
			return 0, err
		}
	}
	count := 0
	for ; len(tree) > 0 && count <= most; tree = tree[1:] {
		threads, below, err := threadsOf(strconv.Itoa(tree[0]))
		if err == nil { // otherwise it has ended
			count += threads
			tree = append(tree, below...)
		}
	}
	return count, nil
}

// Sweep kills and reaps strays, except those in spared, until none is left: when a process dies, its children become
// strays in turn. The error says that some were still there after limit.
func Sweep(limit time.Duration, spared ...int) error {
	end := time.Now().Add(limit)
	for wait := time.Duration(0); ; wait = min(wait+50*time.Microsecond, 5*time.Millisecond) {
		strays, err := Strays(spared...)
		if err != nil || len(strays) == 0 {
			return err
		}
		for _, pid := range strays {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended already
			reapOne(pid)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes are still there %s after they were killed", len(strays), limit)
		}
		time.Sleep(wait) // the kernel ends them in its own time
	}
}

// Reap reaps the strays that have ended, so that they no longer count against limits.
func Reap(spared ...int) {
	strays, err := Strays(spared...)
	if err != nil {
		return
	}
	for _, pid := range strays {
		reapOne(pid)
	}
}

// reapOne reaps a child if it has ended.
func reapOne(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != unix.EINTR { //nolint:errorlint // it is a number
			return
		}
	}
}

// children lists the children of this process.
func children() ([]int, error) { return childrenOf("self") }

// listed reports whether the kernel lists the children of a process.
var listed = sync.OnceValue(func() bool {
	files, err := filepath.Glob("/proc/self/task/*/children")
	return err == nil && len(files) > 0
})

// childrenOf lists the children of all threads of the process that has this name in /proc.
func childrenOf(name string) ([]int, error) {
	if !listed() {
		return childrenBySearch(name)
	}
	_, pids, err := threadsAndChildren(name)
	return pids, err
}

// threadsAndChildren counts the threads of a process and lists the children of all of them.
func threadsAndChildren(name string) (threads int, pids []int, err error) {
	files, err := filepath.Glob("/proc/" + name + "/task/*/children")
	if err != nil {
		return 0, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended; its children are another's now
		}
		for _, word := range bytes.Fields(text) {
			pid, err := strconv.Atoi(string(word))
			if err != nil {
				return 0, nil, fmt.Errorf("read %s: %w", file, err)
			}
			pids = append(pids, pid)
		}
	}
	return len(files), pids, nil
}

// childrenBySearch looks at every process, for kernels that do not list children.
func childrenBySearch(name string) ([]int, error) {
	look, err := search()
	if err != nil {
		return nil, err
	}
	if name == "self" {
		name = strconv.Itoa(os.Getpid())
	}
	_, pids, err := look(name)
	return pids, err
}

// search reads the state of all processes once, and returns threadsAndChildren for that moment.
func search() (func(name string) (threads int, pids []int, err error), error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	threads, children := map[string]int{}, map[string][]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue
		}
		// Fields after the name, which may contain spaces and brackets: state, parent, 15 numbers, the number of
		// threads.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 18 {
			continue
		}
		children[string(fields[1])] = append(children[string(fields[1])], pid)
		threads[entry.Name()], _ = strconv.Atoi(string(fields[17])) // the kernel's own number
	}
	return func(name string) (int, []int, error) { return threads[name], children[name], nil }, nil
}
