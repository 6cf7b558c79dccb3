package testkit

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// withoutLandlock is the first argument of a program that is to hide Landlock.
const withoutLandlock = "without-landlock"

// WithoutLandlock is the command line that runs another one as on a kernel without
// Landlock. The main function of the tests must call HideLandlock.
func WithoutLandlock(command ...string) []string {
	return append([]string{"/proc/self/exe", withoutLandlock}, command...)
}

// HideLandlock becomes another program, if this one was started by WithoutLandlock, for
// which the system calls of Landlock do not exist.
func HideLandlock() {
	if len(os.Args) < 3 || os.Args[1] != withoutLandlock {
		return
	}
	runtime.LockOSThread()
	err := denyLandlock()
	if err == nil {
		err = unix.Exec(os.Args[2], os.Args[2:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func denyLandlock() error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: unix.SYS_LANDLOCK_CREATE_RULESET, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.SYS_LANDLOCK_RESTRICT_SELF, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}                                   // #nosec G115 -- six instructions
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0) // #nosec G103 -- the call takes an address
}
