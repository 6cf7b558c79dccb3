package sandbox

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxProcesses bounds what a command starts where the system sets no bound.
	maxProcesses = 512
	// maxOpenFiles bounds the open files of each of its processes.
	maxOpenFiles = 1024
	// leastProcesses are what the sandbox itself needs while it gets ready.
	leastProcesses = 10
	// keptProcesses are left for this program when the system bounds them.
	keptProcesses = 8
	// niceness is the priority of commands; this program's own is 0.
	niceness = 5
	// spareThreads are started ahead, so that this program needs none when a command has
	// taken all there are: the Go runtime ends a program that cannot have a thread.
	spareThreads = 8
)

// complete fills in what is not set, and lowers to what the system allows.
func (l Limits) complete() Limits {
	if l.Processes == 0 {
		l.Processes = maxProcesses
	}
	if bound, ok := processBound(); ok {
		l.Processes = min(l.Processes, max(bound-taken()-keptProcesses, leastProcesses))
	}
	if l.OpenFiles == 0 {
		l.OpenFiles = maxOpenFiles
	}
	return l
}

// taken counts the processes and threads that the container has already.
func taken() int {
	if n, ok := pidsFile("current"); ok {
		return n
	}
	threads, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	if err != nil {
		return 0
	}
	return len(threads)
}

// apply sets the limits of this process, which only become effective for what it starts
// and for the program it becomes. That of processes is set for a user of the command's own alone:
// the kernel counts a user's on the whole machine, of which a container shows a part only. The
// result is what is in force.
func (l Limits) apply(ownUser bool) (Limits, error) {
	limits := []struct {
		what     string
		resource int
		limit    int64
		inForce  func(int64)
	}{
		{"core files", unix.RLIMIT_CORE, 0, func(int64) {}},
		{"message queues", unix.RLIMIT_MSGQUEUE, 0, func(int64) {}},
		{"open files", unix.RLIMIT_NOFILE, int64(l.OpenFiles), func(n int64) { l.OpenFiles = int(n) }},
		{"file size", unix.RLIMIT_FSIZE, orNone(l.FileBytes), func(n int64) { l.FileBytes = n }},
		{"memory", unix.RLIMIT_DATA, orNone(l.DataBytes), func(n int64) { l.DataBytes = n }},
		{"processes", unix.RLIMIT_NPROC, int64(max(l.Processes, leastProcesses)), func(n int64) { l.Processes = int(n) }},
	}
	if !ownUser {
		limits = limits[:len(limits)-1]
	}
	for _, limit := range limits {
		n, err := setLimit(limit.resource, limit.limit)
		if err != nil {
			return l, fmt.Errorf("limit %s: %w", limit.what, err)
		}
		limit.inForce(n)
	}
	// This program comes first, when it has to end many that want to go on.
	if err := lowerPriority(); err != nil {
		return l, fmt.Errorf("lower priority: %w", err)
	}
	preferToDie()
	return l, nil
}

// noLimit is the limit that is none.
const noLimit = math.MaxInt64

// orNone takes zero for no limit.
func orNone(n int64) int64 {
	if n <= 0 {
		return noLimit
	}
	return n
}

// setLimit lowers one limit, and returns the one that is in force then: 0 for none.
func setLimit(resource int, limit int64) (int64, error) {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return 0, err
	}
	lowered := now.Max
	if limit != noLimit {
		lowered = min(uint64(limit), now.Max) // #nosec G115 -- not negative
	}
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: lowered, Max: lowered}); err != nil {
		return 0, err
	}
	if err := unix.Getrlimit(resource, &now); err != nil || now.Cur > math.MaxInt64 {
		return 0, err
	}
	return int64(now.Cur), nil // #nosec G115 -- compared above
}

// lowerPriority makes this process no more urgent than niceness says.
func lowerPriority() error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if nice := 20 - raw; err != nil || nice >= niceness { // the system call's own scale
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
}

// preferToDie makes this process and what it starts the first that the kernel ends when
// memory runs out. A kernel that refuses has other means.
func preferToDie() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }

// spare starts the threads that this program may need later: they are kept when idle.
var spare = sync.OnceFunc(func() {
	var all sync.WaitGroup
	for range spareThreads {
		all.Go(func() {
			nap := unix.NsecToTimespec(int64(2 * time.Millisecond))
			_ = unix.Nanosleep(&nap, nil) // a system call of its own thread, unlike time.Sleep
		})
	}
	all.Wait()
})
