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
	// maxProcesses bounds what a command starts if the system sets no bound.
	maxProcesses = 512
	// maxOpenFiles bounds the open files of each of its processes.
	maxOpenFiles = 1024
	// leastProcesses is what the sandbox itself needs while it is set up.
	leastProcesses = 10
	// keptProcesses is reserved for this program if the system bounds the number of processes.
	keptProcesses = 8
	// niceness is the priority of commands; this program's own is 0.
	niceness = 5
	// spareThreads are started in advance, so that this program needs no new thread when a command has used up all of
	// them: the Go runtime ends a program that cannot create a thread.
	spareThreads = 8
)

// complete fills in missing limits, and lowers them to what the system allows.
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

// taken counts the processes and threads that are already in the container.
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

// apply sets the limits of this process, which apply to the program it becomes and to what that starts. It limits
// processes only if the command has a user of its own: the kernel counts a user's processes on the whole machine, of
// which a container sees only a part. It returns the limits in force.
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
		{
			"processes", unix.RLIMIT_NPROC, int64(max(l.Processes, leastProcesses)),
			func(n int64) { l.Processes = int(n) },
		},
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
	// This program needs priority when it has to end many processes that keep running.
	if err := lowerPriority(); err != nil {
		return l, fmt.Errorf("lower priority: %w", err)
	}
	preferToDie()
	return l, nil
}

// noLimit stands for no limit.
const noLimit = math.MaxInt64

// orNone converts zero to noLimit.
func orNone(n int64) int64 {
	if n <= 0 {
		return noLimit
	}
	return n
}

// setLimit lowers one limit, and returns the limit then in force; 0 if there is none.
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

// lowerPriority lowers this process's priority at least to niceness.
func lowerPriority() error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if nice := 20 - raw; err != nil || nice >= niceness { // the system call's own scale
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
}

// preferToDie makes this process and its children the first that the kernel kills when memory runs out. If the kernel
// refuses that, nothing is lost but the preference.
func preferToDie() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }

// spare starts the threads that this program may need later; the runtime keeps idle threads.
var spare = sync.OnceFunc(func() {
	var all sync.WaitGroup
	for range spareThreads {
		all.Go(func() {
			nap := unix.NsecToTimespec(int64(2 * time.Millisecond))
			_ = unix.Nanosleep(&nap, nil) // blocks its own thread, unlike time.Sleep
		})
	}
	all.Wait()
})
