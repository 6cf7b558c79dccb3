package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
		l.Processes = min(l.Processes, max(bound-ownThreads()-keptProcesses, leastProcesses))
	}
	if l.OpenFiles == 0 {
		l.OpenFiles = maxOpenFiles
	}
	return l
}

// processBound is how many processes and threads the control group may have.
func processBound() (int, bool) {
	for _, file := range []string{"/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return n, true
		}
	}
	return 0, false
}

// ownThreads counts the threads of this program's user that can be seen. It is exact
// where it matters, in a container.
var ownThreads = sync.OnceValue(func() int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	count := 0
	for _, file := range stats {
		if info, err := os.Stat(filepath.Dir(file)); err == nil && ownedByOther(info) && filepath.Base(filepath.Dir(file)) != strconv.Itoa(os.Getpid()) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// After the name: state and 16 numbers, then that of threads.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 17 {
			n, _ := strconv.Atoi(fields[17]) //nolint:errcheck // the kernel's own number
			count += n
		}
	}
	return count
})

func ownedByOther(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) != os.Getuid()
}

// apply sets the limits of this process, which only become effective for what it starts
// and for the program it becomes. taken is how many processes its user has already. The
// result is what is in force.
func (l Limits) apply(taken int) (Limits, error) {
	set := func(what string, resource int, limit uint64) error {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("read limit of %s: %w", what, err)
		}
		limit = min(limit, now.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("set limit of %s: %w", what, err)
		}
		return nil
	}
	orNone := func(n int64) uint64 {
		if n <= 0 {
			return math.MaxUint64
		}
		return uint64(n)
	}
	err := errors.Join(
		set("core files", unix.RLIMIT_CORE, 0),
		set("message queues", unix.RLIMIT_MSGQUEUE, 0),
		set("open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles)), // #nosec G115 -- positive
		set("file size", unix.RLIMIT_FSIZE, orNone(l.FileBytes)),
		set("memory", unix.RLIMIT_DATA, orNone(l.DataBytes)),
	)
	if err != nil {
		return l, err
	}
	// This program comes first, when it has to end many that want to go on.
	if err := lowerPriority(); err != nil {
		return l, fmt.Errorf("lower priority: %w", err)
	}
	l.Processes, err = limitProcesses(taken, l.Processes)
	preferToDie()
	return l, err
}

// lowerPriority makes this process no more urgent than niceness says.
func lowerPriority() error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if nice := 20 - raw; err != nil || nice >= niceness { // the system call's own scale
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
}

// limitProcesses lets this process's user have so many more than are taken. The kernel counts
// them for the user on the whole machine, of which a container shows a part only: where
// the limit is reached at once it is lifted again, as it would stop every command.
func limitProcesses(taken, more int) (int, error) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &before); err != nil {
		return 0, fmt.Errorf("read limit of processes: %w", err)
	}
	limit := min(uint64(taken+more), before.Max) // #nosec G115 -- positive
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: before.Max}); err != nil {
		return 0, fmt.Errorf("set limit of processes: %w", err)
	}
	// A program that does not exist: its process is made all the same.
	if _, err := syscall.ForkExec("/nonexistent", []string{"/nonexistent"}, nil); errors.Is(err, syscall.EAGAIN) {
		return 0, unix.Setrlimit(unix.RLIMIT_NPROC, &before)
	}
	return more, unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit})
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
