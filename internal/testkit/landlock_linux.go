package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What UnderKernel can pretend, besides an ABI of Landlock, which is a number.
const (
	NoLandlock        = "ENOSYS"     // a kernel that has none
	LandlockDisabled  = "EOPNOTSUPP" // one that has it and does not enable it
	LandlockForbidden = "EPERM"      // a container engine that forbids it
	LandlockMute      = "mute"       // one that says to have put rules in force, and has not
)

// underKernel is the first argument of a program that is to pretend, asking that of the one which is the
// program itself, with its parent answering.
const (
	underKernel = "under-kernel"
	asking      = "under-kernel-asking"
)

// UnderKernel is the command line that runs another one as on a kernel with another Landlock: one of the
// constants, or an ABI that is not newer than that of the machine. The main function of the tests must
// call PretendKernel.
func UnderKernel(landlock string, command ...string) []string {
	return append([]string{"/proc/self/exe", underKernel, landlock}, command...)
}

// pretended is the environment variable in what runs as on a kernel with another ABI.
const pretended = "PRETENDED_LANDLOCK_ABI"

// Pretended reports whether this program runs as on a kernel with another ABI of Landlock: the machine's
// own kernel lets nobody pretend yet another below it.
func Pretended() bool { return os.Getenv(pretended) != "" }

// PretendKernel becomes another program, if this one was started by UnderKernel.
func PretendKernel() {
	if len(os.Args) < 4 || os.Args[1] != underKernel && os.Args[1] != asking {
		return
	}
	Pretend(os.Args[1], os.Args[2], os.Args[3:])
}

// Pretend becomes the command, as UnderKernel has it. It does not return.
func Pretend(how, landlock string, command []string) {
	code, err := 1, error(nil)
	switch _, number := strconv.Atoi(landlock); {
	case how == asking:
		err = ask(command)
	case number == nil:
		code, err = answer(landlock, command)
	default:
		err = deny(landlock, command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
	}
	os.Exit(code)
}

// Main is the way of a program that only pretends: its arguments are those of UnderKernel.
func Main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kernel ENOSYS|EOPNOTSUPP|EPERM|mute|ABI COMMAND…")
		os.Exit(2)
	}
	Pretend(underKernel, os.Args[1], os.Args[2:])
}

// deny has a filter answer the calls, and becomes the command.
func deny(landlock string, command []string) error {
	last, result := uint32(unix.SYS_LANDLOCK_RESTRICT_SELF), uint32(0)
	first := uint32(unix.SYS_LANDLOCK_CREATE_RULESET)
	switch landlock {
	case NoLandlock:
		result = uint32(unix.ENOSYS)
	case LandlockDisabled:
		result = uint32(unix.EOPNOTSUPP)
	case LandlockForbidden:
		result = uint32(unix.EPERM)
	case LandlockMute:
		first = last // answers that it was done
	default:
		return fmt.Errorf("no such kernel: %s", landlock)
	}
	runtime.LockOSThread()
	_, err := filter(0, []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: first, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: last, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | result},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return err
	}
	return become(command)
}

func become(command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, command, os.Environ())
}

// filter puts a filter around this thread.
func filter(flags uintptr, instructions []bpf.Instruction) (int, error) {
	program, err := bpf.Assemble(instructions)
	if err != nil {
		return -1, err
	}
	raw := make([]unix.SockFilter, len(program))
	for i, in := range program {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if os.Geteuid() != 0 { // for root everything else is to be as ever
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, err
		}
	}
	prog := unix.SockFprog{
		Len: uint16(len(raw)), Filter: &raw[0],
	} // #nosec G115 -- few instructions
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags,
		uintptr(unsafe.Pointer(&prog))) // #nosec G103 -- the call takes an address
	runtime.KeepAlive(raw)
	if errno != 0 {
		return -1, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// askFD is the socket over which the child passes what its parent answers by.
const askFD = 3

// ask has the parent answer which ABI there is, and becomes the command.
func ask(command []string) error {
	runtime.LockOSThread()
	const flagsOffset = 16 + 2*8 // of the third argument
	listener, err := filter(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_LANDLOCK_CREATE_RULESET, SkipTrue: 3},
		bpf.LoadAbsolute{Off: flagsOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 1 /* which version */, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(askFD, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("pass the listener on: %w", err)
	}
	unix.CloseOnExec(askFD)
	return become(command)
}

// answer runs the command and answers its questions which ABI there is.
func answer(abi string, command []string) (int, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1, err
	}
	theirs := os.NewFile(uintptr(ends[1]), "ask")
	if err := os.Setenv(pretended, abi); err != nil {
		return 1, err
	}
	runtime.LockOSThread() // the child ends with the thread
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{os.Args[0], asking, abi}, command...),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	_ = theirs.Close()
	listener, err := passed(ends[0])
	if err != nil {
		return 1, errors.Join(err, cmd.Process.Kill())
	}
	version, _ := strconv.ParseInt(abi, 10, 64) //nolint:errcheck // it is a number
	go reply(listener, version)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// passed is the descriptor that the child passes on.
func passed(socket int) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("the child passed nothing on (%v)", err) //nolint:errorlint // it may be nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// The kernel's structures seccomp_notif and seccomp_notif_resp, and what passes them.
type (
	question struct {
		id       uint64
		pid      uint32
		flags    uint32
		nr, arch uint32
		at       uint64
		args     [6]uint64
	}
	reaction struct {
		id         uint64
		val        int64
		err, flags int32
	}
)

const (
	notifRecv = 0xc0502100
	notifSend = 0xc0182101
)

// reply answers until nobody is left who could ask.
func reply(listener int, version int64) {
	for {
		var q question
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifRecv,
			uintptr(unsafe.Pointer(&q))) // #nosec G103 -- the call takes an address
		if errno == unix.EINTR || errno == unix.ENOENT && alive(listener) {
			continue // who asked was interrupted, and asks again
		}
		if errno != 0 {
			return
		}
		r := reaction{id: q.id, val: version}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), notifSend,
			uintptr(unsafe.Pointer(&r))) // #nosec G103 -- see above
	}
}

// alive reports whether a process has the listener's filter.
func alive(listener int) bool {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}} // #nosec G115 -- a descriptor
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&unix.POLLHUP == 0
}
