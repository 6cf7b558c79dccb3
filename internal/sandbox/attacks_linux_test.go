package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

func rootOnly(setting string) string {
	if setting == "root" {
		return ""
	}
	return "takes a privilege that this user has not"
}

func containerOnly(setting string) string {
	if setting == "container" {
		return ""
	}
	return "PID 1 is another user's"
}

// userSpaces is for attacks that need a user namespace, which a chroot, a container and some distributions do not
// allow.
func userSpaces(string) string {
	if err := startIn(unix.CLONE_NEWUSER); err != nil {
		return "nobody gets a user space here: " + err.Error()
	}
	return ""
}

var inside = []string{"Landlock", "not dumpable"}

// attacks is the table. For all of them, "own user" is a layer only if this program is root.
var attacks = []attack{
	{name: "read environment", layers: inside},
	{name: "read PID 1's environment", layers: []string{"Landlock"}, gap: "files", nowhere: containerOnly},
	{name: "read memory", layers: inside},
	{name: "read an open file", layers: inside},
	{name: "read credentials", layers: []string{"Landlock"}, gap: "files", private: true},
	{name: "read credentials through /proc/self/root", layers: []string{"Landlock"}, gap: "files", private: true},
	{name: "read credentials through the parent's root", layers: inside},
	{name: "read another run's file", layers: []string{"Landlock"}, gap: "files", private: true},
	{name: "list another run's folder", layers: []string{"Landlock"}, gap: "files", private: true},
	{name: "list processes", layers: []string{"Landlock"}, gap: "files"},
	{name: "ptrace", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "process_vm_readv", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "pidfd_getfd", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "kcmp", layers: []string{"seccomp", "Landlock", "not dumpable"}},
	{name: "write outside", layers: []string{"Landlock"}, gap: "files"},
	{name: "truncate outside", layers: []string{"Landlock"}, since: 3, gap: "truncate"},
	{name: "remove outside", layers: []string{"Landlock"}, gap: "files"},
	{name: "rename outside", layers: []string{"Landlock"}, gap: "files"},
	{name: "make a folder", layers: []string{"Landlock"}, gap: "files"},
	{name: "make a link", layers: []string{"Landlock"}, gap: "files"},
	{name: "move a file out", layers: []string{"Landlock"}, gap: "files"},
	{name: "link a file in", layers: []string{"Landlock"}, gap: "files"},
	{name: "leave a file", layers: []string{"Landlock"}, gap: "files", still: func(*victim) bool {
		_, err := os.Stat("/dev/shm/cemli-attack")
		_ = os.Remove("/dev/shm/cemli-attack")
		return err == nil
	}},
	{name: "replace a folder", layers: []string{"Landlock"}, gap: "files"},
	{
		name: "signal the parent", layers: []string{"Landlock"}, since: 6, gap: "signals", private: true,
		still: (*victim).signalled,
	},
	{
		name: "signal its group", layers: []string{"Landlock"}, since: 6, gap: "signals", private: true,
		still: (*victim).signalled,
	},
	{
		name: "signal by thread", layers: []string{"Landlock"}, since: 6, gap: "signals", private: true,
		still: (*victim).signalled,
	},
	{
		name: "signal by pidfd", layers: []string{"Landlock"}, since: 6, gap: "signals", private: true,
		still: (*victim).signalled,
	},
	{name: "limit the parent", layers: []string{"seccomp"}},
	{name: "slow the parent", layers: []string{"seccomp"}},
	{name: "pin the parent", layers: []string{"seccomp"}},
	{name: "slow the group", layers: []string{"seccomp"}},
	{name: "netlink, diagnosis", layers: []string{"seccomp"}},
	{name: "a socket with a name", layers: []string{"seccomp"}, offline: true},
	{name: "abstract socket", layers: []string{"Landlock"}, since: 6, gap: "abstract_sockets"},
	{name: "connect to a socket with a name", layers: []string{"Landlock"}, since: 9, gap: "named_sockets"},
	{name: "sendto a socket with a name", layers: []string{"seccomp", "Landlock"}, since: 9, offline: true},
	{name: "sendmsg to a socket with a name", layers: []string{"Landlock"}, since: 9, gap: "sendmsg", offline: true},
	// The files are this program's, and so the same user's.
	{name: "chmod", gap: "chmod", private: true},
	{name: "set times", gap: "times", private: true},
	{name: "set an attribute", gap: "xattrs", private: true},
	{name: "watch a folder", gap: "inotify", private: true},
	{name: "unshare a user space", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "clone into one", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "clone3 into one", layers: []string{"seccomp"}, nowhere: userSpaces},
	{name: "mount", layers: []string{"seccomp", "Landlock"}, nowhere: rootOnly},
	{name: "io_uring", layers: []string{"seccomp"}},
	{name: "system call table", layers: []string{"seccomp"}},
	{name: "SysV segment", layers: []string{"seccomp"}},
	{name: "SysV semaphore", layers: []string{"seccomp"}},
	{name: "SysV queue", layers: []string{"seccomp"}},
	// Landlock refuses to open the queue, which is made all the same.
	{name: "POSIX queue", layers: []string{"seccomp", "limits"}, aside: []string{"Landlock"}},
	{name: "key", layers: []string{"seccomp"}},
	{name: "bpf", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "perf_event_open", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "userfaultfd", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "setuid program", layers: []string{"no new privileges"}, nowhere: rootOnly},
	{name: "TCP", layers: []string{"seccomp"}, offline: true},
	{name: "TCP, IPv6", layers: []string{"seccomp"}, offline: true},
	{name: "UDP", layers: []string{"seccomp"}, offline: true},
	{name: "MPTCP", layers: []string{"seccomp"}, offline: true},
	{name: "ICMP, raw", layers: []string{"seccomp"}, offline: true, nowhere: rootOnly},
	{name: "vsock", layers: []string{"seccomp"}},
	{name: "netlink", layers: []string{"seccomp"}, offline: true},
	{name: "packet", layers: []string{"seccomp"}, nowhere: rootOnly},
	{name: "AF_ALG", layers: []string{"seccomp"}},
	{name: "family in disguise", layers: []string{"seccomp"}, offline: true},
	// The last ones: what they do to this process stays.
	{name: "fork bomb", layers: []string{"limits"}},
	{name: "memory hog", layers: []string{"limits"}},
	{name: "disk filler", layers: []string{"limits"}},
	{name: "too many files", layers: []string{"limits"}},
	{name: "daemon by setsid", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "daemon, renamed", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "daemon's keeper", layers: []string{"sweep"}, still: (*victim).lingering},
	{name: "slow all of the user", layers: []string{"seccomp"}, nowhere: func(setting string) string {
		if setting == "root" {
			return "not tried as root: it would slow the whole machine"
		}
		return ""
	}},
	{name: "run own program", layers: []string{"Landlock"}, gap: "files", nowhere: func(setting string) string {
		if setting == "container" {
			return "/tmp is mounted noexec there"
		}
		return ""
	}},
}
