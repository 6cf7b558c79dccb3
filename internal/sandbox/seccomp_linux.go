package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// seccompSetup says which system calls a command may make.
type seccompSetup struct {
	Network     bool
	PathsDenied bool // Landlock denies connecting by path to sockets outside
}

// denied are the calls that no package's script needs. They fail with EPERM, as most of them do without privileges.
var denied = []string{
	// looking into other processes, and changing them
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
	"move_pages", "migrate_pages",
	// file systems and roots
	"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "mount_setattr",
	"fsopen", "fsconfig", "fsmount", "fspick", "statmount", "listmount", "swapon", "swapoff", "quotactl", "quotactl_fd",
	"fanotify_init", "fanotify_mark", "open_by_handle_at", "uselib",
	// namespaces
	"unshare", "setns",
	// ways around this filter, and what reads the kernel
	"io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "lookup_dcookie",
	"syslog",
	// what would stay behind: keys, System V and POSIX queues, segments and semaphores
	"add_key", "request_key", "keyctl",
	"shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv",
	"msgctl",
	"mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr",
	// the machine
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", "acct",
	"sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "adjtimex",
	"iopl", "ioperm", "vhangup", "nfsservctl",
}

// others are the calls that a process may make for itself, with 0 or its own id, but not for another process of the
// same user, such as the function. The value is the index of the argument that names the process.
var others = map[string]uint32{
	"prlimit64": 0, "setpriority": 1, "ioprio_set": 1,
	"sched_setaffinity": 0, "sched_setscheduler": 0, "sched_setparam": 0, "sched_setattr": 0,
}

// kinds are the calls whose first argument says what the second one names; only processes are allowed, not groups or
// users.
var kinds = map[string]uint64{"setpriority": unix.PRIO_PROCESS, "ioprio_set": 1 /* IOPRIO_WHO_PROCESS */}

// namespaces are the flags of clone that create namespaces.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME

const answerENOSYS = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)

// families are the socket families that a command may use. Programs use netlink to ask for the machine's own
// addresses.
func (s seccompSetup) families() []uint64 {
	if s.Network {
		return []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
	}
	return []uint64{unix.AF_UNIX}
}

// denied are the calls that a command may not make at all.
func (s seccompSetup) denied() []string {
	if s.Network || s.PathsDenied {
		return slices.Clone(denied)
	}
	// Before ABI 9 of Landlock, nothing else keeps a script from the machine's named sockets: a session bus or a
	// container engine would do for it what it may not do itself.
	return append(slices.Clone(denied), "connect")
}

// policy is the filter in the library's terms.
func (s seccompSetup) policy(native *arch.Info) seccomp.Policy {
	known := func(name string) bool { _, ok := native.SyscallNames[name]; return ok }
	var conditional []seccomp.NameWithConditions
	when := func(name string, conditions ...seccomp.Condition) {
		if known(name) {
			conditional = append(conditional, seccomp.NameWithConditions{Name: name, Conditions: conditions})
		}
	}
	var foreign []seccomp.Condition
	for _, family := range s.families() {
		foreign = append(foreign, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: family})
	}
	when("socket", foreign...)
	if !s.Network && !s.PathsDenied {
		// Like connect, which is denied. The address of sendmsg is behind a pointer.
		when("sendto", seccomp.Condition{Argument: 4, Operation: seccomp.NotEqual, Value: 0})
	}
	when("socketpair", seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_UNIX})
	when("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: namespaces})
	when("socket", // of netlink's protocols, only what tells a machine's addresses
		seccomp.Condition{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK},
		seccomp.Condition{Argument: 2, Operation: seccomp.NotEqual, Value: unix.NETLINK_ROUTE})
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		when(name, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: kinds[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		when(name, seccomp.Condition{Argument: others[name], Operation: seccomp.NotEqual, Value: 0})
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			// Its flags are behind a pointer, which filters cannot follow. Libraries fall back to clone.
			{Names: []string{"clone3"}, Action: answerENOSYS},
			{
				Names:  slices.DeleteFunc(s.denied(), func(name string) bool { return !known(name) }),
				Action: seccomp.ActionErrno,
			},
			{NamesWithCondtions: conditional, Action: seccomp.ActionErrno},
		},
	}
}

// program is the filter for the kernel. It adds two rules before those of the library: a call by another
// architecture, where numbers mean other calls, kills the process, and a call newer than the list answers that it
// does not exist.
func (s seccompSetup) program() ([]bpf.RawInstruction, error) {
	native, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	policy := s.policy(native)
	rest, err := policy.Assemble()
	if err != nil {
		return nil, err
	}
	newest := slices.Max(slices.Collect(maps.Keys(native.SyscallNumbers)))
	const numberOffset, archOffset = 0, 4
	first := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(native.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)},
		bpf.LoadAbsolute{Off: numberOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(newest), SkipTrue: 1}, // #nosec G115 -- a number of a call
		bpf.RetConstant{Val: uint32(answerENOSYS)},
	}
	return bpf.Assemble(append(first, rest...))
}

// apply puts the filter around the calling thread, which must then become the command.
func (s seccompSetup) apply() error {
	program, err := s.program()
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{
		Len: uint16(len(filter)), Filter: &filter[0],
	} // #nosec G115 -- the kernel's own limit is 4096
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
		uintptr(unsafe.Pointer(&prog))) // #nosec G103 -- the call takes an address
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// seccompSupported reports whether the kernel takes filters: if it does, it rejects one without an address with
// EFAULT.
func seccompSupported() bool {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, 0)
	return errors.Is(errno, unix.EFAULT)
}
