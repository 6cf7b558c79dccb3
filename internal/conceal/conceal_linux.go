package conceal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cemli-executor/internal/proctree"
)

// concealLimit is how long this program waits for one process.
const concealLimit = time.Second

// All hides the memory of every other process of this program's user, but for those that it started itself, and must
// only be used where they all belong to it. The error names those that are as they were.
func All() error {
	others, err := proctree.Others()
	if err != nil {
		return err
	}
	var failed []error
	for _, other := range others {
		if !Writable(other.ID) {
			continue
		}
		if err := conceal(other.ID); err != nil && Writable(other.ID) {
			failed = append(failed, fmt.Errorf("hide the memory of process %d: %w", other.ID, err))
		}
	}
	return errors.Join(failed...)
}

// Exposed reports whether this program could write the memory of another process of its user that did not come from
// it. It fails closed.
func Exposed() bool {
	others, unknown := Others()
	return unknown || slices.ContainsFunc(others, Writable)
}

// mostOthers bounds how many processes are tried: on a machine that has more, some of them tell enough.
const mostOthers = 500

// Others are the processes of this program's user that did not come from it; unknown says that they cannot be listed.
func Others() (pids []int, unknown bool) {
	list, err := proctree.Others()
	for _, other := range list[:min(len(list), mostOthers)] {
		pids = append(pids, other.ID)
	}
	return pids, err != nil
}

// Writable reports whether this process could write the memory of another one.
func Writable(pid int) bool {
	memory, err := os.OpenFile(memoryOf(pid), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = memory.Close()
	return true
}

func memoryOf(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/mem" }

// conceal hides the memory of one process. One that does not stop in time is left to the thread that waits for that:
// it is let go as soon as it stops, and runs until then.
func conceal(pid int) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a process is traced by a thread
		defer runtime.UnlockOSThread()
		done <- seize(pid)
	}()
	patience := time.NewTimer(concealLimit)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		return fmt.Errorf("it did not stop within %s", concealLimit)
	}
}

// seize stops the process, has it hide its memory, and lets it go as it was.
func seize(pid int) error {
	if err := suitable(pid); err != nil {
		return err
	}
	if err := unix.PtraceSeize(pid); err != nil {
		return fmt.Errorf("trace it: %w", err)
	}
	if err := unix.PtraceInterrupt(pid); err != nil {
		return fmt.Errorf("stop it: %w", err) // it has ended
	}
	if err := stopped(pid); err != nil {
		return err
	}
	err := inject(pid, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	return errors.Join(err, unix.PtraceDetach(pid))
}

var (
	errEnded   = errors.New("it has ended")
	errStopped = errors.New("it is stopped")
)

// stopped waits until the process has stopped because this program asked it to. Signals that come before are its
// own, and delivered.
func stopped(pid int) error {
	for {
		status, err := waitFor(pid)
		if err != nil {
			return err
		}
		switch event := int(status) >> 16; {
		case event == unix.PTRACE_EVENT_STOP && status.StopSignal() == unix.SIGTRAP:
			return nil
		case event == unix.PTRACE_EVENT_STOP: // with all its threads, by SIGSTOP and the like, which it stays
			return errors.Join(errStopped, unix.PtraceDetach(pid))
		}
		if err := unix.PtraceCont(pid, int(status.StopSignal())); err != nil {
			return fmt.Errorf("let it take a signal: %w", err)
		}
	}
}

// waitFor waits for the next stop of the process.
func waitFor(pid int) (status unix.WaitStatus, err error) {
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR: //nolint:errorlint // it is a number
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for it: %w", err)
		case !status.Stopped():
			return 0, errEnded
		}
		return status, nil
	}
}

// inject has the stopped process make a system call of two arguments, and puts everything back as it was before. It
// writes nothing to the process's memory: the instruction is one that is there. Signals wait meanwhile, but for those
// of the process's own instructions.
func inject(pid int, number, first, second uint64) error {
	saved, err := registers(pid)
	if err != nil {
		return fmt.Errorf("read its registers: %w", err)
	}
	at, err := findCall(pid, saved)
	if err != nil {
		return err
	}
	var mask uint64
	if err := signalMask(unix.PTRACE_GETSIGMASK, pid, &mask); err != nil {
		return fmt.Errorf("read its signal mask: %w", err)
	}
	hold := ^uint64(0)
	for _, signal := range []unix.Signal{
		unix.SIGTRAP, unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGSYS,
	} {
		hold &^= 1 << (signal - 1)
	}
	if err := signalMask(unix.PTRACE_SETSIGMASK, pid, &hold); err != nil {
		return fmt.Errorf("hold its signals: %w", err)
	}
	err = step(pid, calling(saved, at, number, first, second), at)
	if errors.Is(err, errEnded) {
		return err
	}
	return errors.Join(err, setRegisters(pid, saved), signalMask(unix.PTRACE_SETSIGMASK, pid, &mask))
}

// mostStops is how often the process may stop for other reasons before it has made the call.
const mostStops = 8

// step has the process make one system call.
func step(pid int, regs unix.PtraceRegs, at uint64) error {
	if err := setRegisters(pid, regs); err != nil {
		return fmt.Errorf("set its registers: %w", err)
	}
	for range mostStops {
		if err := unix.PtraceSingleStep(pid); err != nil {
			return fmt.Errorf("let it make a step: %w", err)
		}
		status, err := waitFor(pid)
		if err != nil {
			return err
		}
		now, err := registers(pid)
		if err != nil {
			return fmt.Errorf("read its registers: %w", err)
		}
		if result, made := answered(now, at); made {
			if result != 0 {
				return fmt.Errorf("it may not: %w", unix.Errno(-result)) // #nosec G115 -- the number of an error
			}
			return nil
		}
		if status.StopSignal() != unix.SIGTRAP && int(status)>>16 == 0 {
			return fmt.Errorf("it stopped by %s", unix.SignalName(status.StopSignal()))
		}
	}
	return errors.New("it does not get to the call")
}

// signalMask reads or sets the signals that the process blocks.
func signalMask(request, pid int, mask *uint64) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), unsafe.Sizeof(*mask),
		uintptr(unsafe.Pointer(mask)), 0, 0) // #nosec G103 -- the call takes an address
	if errno != 0 {
		return errno
	}
	return nil
}

// mostCode bounds how much of a process's program is looked at for an instruction.
const mostCode = 8 << 20

// findCall finds an instruction, in the code of the stopped process, that makes a system call. The kernel's own part
// of each process has one.
func findCall(pid int, stopped unix.PtraceRegs) (uint64, error) {
	if err := understood(stopped); err != nil {
		return 0, err
	}
	maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return 0, fmt.Errorf("read what it has mapped: %w", err)
	}
	memory, err := os.Open(memoryOf(pid))
	if err != nil {
		return 0, fmt.Errorf("read its memory: %w", err)
	}
	defer memory.Close()
	left := mostCode
	for _, own := range []bool{true, false} { // the kernel's part first
		for line := range strings.Lines(string(maps)) {
			from, size, ok := codeOf(line)
			if !ok || strings.Contains(line, "[vdso]") != own || left <= 0 {
				continue
			}
			code := make([]byte, min(size, uint64(left))) // #nosec G115 -- positive
			n, _ := memory.ReadAt(code, int64(from))      // #nosec G115 -- half of the addresses are the kernel's
			left -= n
			if i := callIn(code[:n], from, stopped); i >= 0 {
				return from + uint64(i), nil // #nosec G115 -- not negative
			}
		}
	}
	return 0, errors.New("there is no system call in its code")
}

// codeOf reads a line of /proc/PID/maps; ok is false for what is no code.
func codeOf(line string) (from, size uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 || !strings.HasPrefix(fields[1], "r-x") || strings.Contains(line, "[vsyscall]") {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	from, err := strconv.ParseUint(first, 16, 63)
	to, errTo := strconv.ParseUint(last, 16, 63)
	return from, to - from, err == nil && errTo == nil && to > from
}

// callIn finds the instruction in code that begins at an address, other than the one at which the process goes on: on
// some machines the kernel would take that for the process's own call.
func callIn(code []byte, from uint64, stopped unix.PtraceRegs) int {
	for i := 0; ; i += callAlign {
		next := bytes.Index(code[min(i, len(code)):], callCode)
		if next < 0 {
			return -1
		}
		i += next
		if i%callAlign == 0 && from+uint64(i) != programCounter(stopped) { // #nosec G115 -- not negative
			return i
		}
		i -= i % callAlign
	}
}

// suitable refuses a process that is stopped, and one whose system calls are filtered by more or less than this
// program's: it could be ended for making one.
func suitable(pid int) error {
	_, own, err := statusOf("self")
	if err != nil {
		return err
	}
	state, its, err := statusOf(strconv.Itoa(pid))
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(strings.ToUpper(state), "T"):
		return errStopped
	case own != its:
		return errors.New("it has a filter of system calls of its own")
	}
	return nil
}

// statusOf is what the kernel says of a process: its state, and the filters of its system calls.
func statusOf(name string) (state, filters string, err error) {
	status, err := os.ReadFile("/proc/" + name + "/status")
	if err != nil {
		return "", "", fmt.Errorf("read its state: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "State:"); ok {
			state = strings.TrimSpace(text)
		}
		if strings.HasPrefix(line, "Seccomp") {
			filters += line
		}
	}
	return state, filters, nil
}
