package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// payloads are what attackers do inside the sandbox. They return nil if they succeed. The environment describes the
// victim: its process id in PID, the address of its secret in ADDRESS, its descriptor in FD, and folders in
// CREDENTIALS, OTHER_RUN, OUTSIDE.
var payloads = map[string]func() error{
	"read environment":         func() error { return readsSecret("/proc/" + os.Getenv("PID") + "/environ") },
	"read PID 1's environment": func() error { return readsSecret("/proc/1/environ") },
	"read memory":              readMemory,
	"read an open file": func() error {
		return readsSecret("/proc/" + os.Getenv("PID") + "/fd/" + os.Getenv("FD"))
	},
	"read credentials": func() error { return readsSecret(os.Getenv("CREDENTIALS")) },
	"read credentials through /proc/self/root": func() error {
		return readsSecret("/proc/self/root" + os.Getenv("CREDENTIALS"))
	},
	"read credentials through the parent's root": func() error {
		return readsSecret("/proc/" + os.Getenv("PID") + "/root" + os.Getenv("CREDENTIALS"))
	},
	"read another run's file": func() error { return readsSecret(os.Getenv("OTHER_RUN")) },
	"list another run's folder": func() error {
		_, err := os.ReadDir(filepath.Dir(os.Getenv("OTHER_RUN")))
		return err
	},
	"list processes":    func() error { _, err := os.ReadDir("/proc"); return err },
	"ptrace":            attach,
	"process_vm_readv":  readVM,
	"pidfd_getfd":       stealDescriptor,
	"kcmp":              func() error { return call(unix.SYS_KCMP, uintptr(os.Getpid()), parent(), 0, 0, 0) },
	"write outside":     func() error { return os.WriteFile(outside("new"), nil, 0o600) },
	"truncate outside":  func() error { return os.Truncate(outside("file"), 0) },
	"remove outside":    func() error { return os.Remove(outside("file")) },
	"rename outside":    func() error { return os.Rename(outside("file"), outside("moved")) },
	"make a folder":     func() error { return os.Mkdir(outside("folder"), 0o700) },
	"make a link":       func() error { return os.Symlink("/", outside("link")) },
	"move a file out":   moveOut,
	"link a file in":    func() error { return os.Link(outside("file"), "stolen") },
	"leave a file":      func() error { return os.WriteFile("/dev/shm/cemli-attack", nil, 0o600) },
	"replace a folder":  replaceFolder,
	"signal the parent": func() error { return unix.Kill(int(parent()), unix.SIGWINCH) },
	"signal its group": func() error {
		group, err := unix.Getpgid(int(parent()))
		if err != nil {
			return err
		}
		return unix.Kill(-group, unix.SIGWINCH)
	},
	"signal by thread":     func() error { return unix.Tgkill(int(parent()), int(parent()), unix.SIGWINCH) },
	"signal by pidfd":      signalByPidfd,
	"limit the parent":     limitParent,
	"slow the parent":      func() error { return unix.Setpriority(unix.PRIO_PROCESS, int(parent()), 19) },
	"pin the parent":       pinParent,
	"slow all of the user": func() error { return unix.Setpriority(unix.PRIO_USER, 0, 19) },
	"slow the group":       func() error { return unix.Setpriority(unix.PRIO_PGRP, 0, 19) },
	"netlink, diagnosis": func() error {
		return sockets(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_INET_DIAG)
	},
	"a socket with a name":            func() error { return dials(os.Getenv("NAMED")) },
	"abstract socket":                 func() error { return dials("@" + os.Getenv("ABSTRACT")) },
	"connect to a socket with a name": func() error { return dials(os.Getenv("NAMED")) },
	"sendto a socket with a name":     func() error { return sends(false) },
	"sendmsg to a socket with a name": func() error { return sends(true) },
	"chmod":                           func() error { return os.Chmod(os.Getenv("CREDENTIALS"), 0o600) },
	"set times": func() error {
		return os.Chtimes(os.Getenv("CREDENTIALS"), time.Now(), time.Now())
	},
	"set an attribute":     setAttribute,
	"watch a folder":       watchFolder,
	"unshare a user space": unshareUser,
	"clone into one":       cloneUser,
	"clone3 into one":      clone3User,
	"mount":                mount,
	"io_uring":             ioUring,
	"system call table":    oldCalls,
	"SysV segment":         segment,
	"SysV semaphore":       func() error { return made(unix.SYS_SEMGET, unix.SYS_SEMCTL, 0, 0) },
	"SysV queue":           func() error { return made(unix.SYS_MSGGET, unix.SYS_MSGCTL, 0, 0) },
	"POSIX queue":          queue,
	"key":                  addKey,
	"bpf":                  func() error { return bpfMap() },
	"perf_event_open":      perf,
	"userfaultfd":          func() error { return makes(unix.SYS_USERFAULTFD, 0, 0, 0) },
	"setuid program":       setuid,
	"TCP":                  func() error { return sockets(unix.AF_INET, unix.SOCK_STREAM, 0) },
	"TCP, IPv6":            func() error { return sockets(unix.AF_INET6, unix.SOCK_STREAM, 0) },
	"UDP":                  func() error { return sockets(unix.AF_INET, unix.SOCK_DGRAM, 0) },
	"MPTCP":                func() error { return sockets(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP) },
	"ICMP, raw":            func() error { return sockets(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"vsock":                func() error { return sockets(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
	"netlink":              func() error { return sockets(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) },
	"packet":               func() error { return sockets(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"AF_ALG":               func() error { return sockets(unix.AF_ALG, unix.SOCK_SEQPACKET, 0) },
	"family in disguise": func() error {
		return call(unix.SYS_SOCKET, unix.AF_INET|1<<32, unix.SOCK_STREAM, 0, 0, 0)
	},
	"fork bomb":        bomb,
	"memory hog":       hog,
	"disk filler":      fill,
	"too many files":   openMany,
	"daemon by setsid": func() error { return daemon(false) },
	"daemon, renamed":  func() error { return daemon(true) },
	"daemon's keeper":  keeper,
	"run own program":  ownProgram,
}

// attacker runs the payload that the arguments name. Its exit code is the result: 0 for success, 1 for failure. In
// the program that is started for an attack it never returns.
func attacker() {
	if len(os.Args) < 3 || os.Args[1] != "attack" {
		return
	}
	if os.Args[2] == "linger" {
		linger()
	}
	err := payloads[os.Args[2]]()
	if err == nil {
		fmt.Println("succeeded")
		os.Exit(0)
	}
	fmt.Println(err)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, errAbsent) {
		os.Exit(exitAbsent)
	}
	os.Exit(1)
}

// exitAbsent: the kernel does not have the feature that is attacked.
const exitAbsent = 3

var errAbsent = errors.New("not on this machine")

const secret = "the-function's-secret"

func parent() uintptr {
	pid, _ := strconv.Atoi(os.Getenv("PID")) //nolint:errcheck // the test's own
	return uintptr(pid)
}

func outside(name string) string { return filepath.Join(os.Getenv("OUTSIDE"), name) }

func readsSecret(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(secret)) {
		return fmt.Errorf("%s does not have it", path)
	}
	return nil
}

func isSecret(text []byte) error {
	if string(text) != secret {
		return fmt.Errorf("read %q", text)
	}
	return nil
}

func address() uintptr {
	n, _ := strconv.ParseUint(os.Getenv("ADDRESS"), 10, 64) //nolint:errcheck // the test's own
	return uintptr(n)
}

func readMemory() error {
	f, err := os.Open("/proc/" + os.Getenv("PID") + "/mem")
	if err != nil {
		return err
	}
	defer f.Close()
	text := make([]byte, len(secret))
	if _, err := f.ReadAt(text, int64(address())); err != nil {
		return err
	}
	return isSecret(text)
}

func readVM() error {
	text := make([]byte, len(secret))
	n, err := unix.ProcessVMReadv(int(parent()),
		[]unix.Iovec{{Base: &text[0], Len: uint64(len(text))}},
		[]unix.RemoteIovec{{Base: address(), Len: len(text)}}, 0)
	if err != nil {
		return err
	}
	return isSecret(text[:n])
}

func attach() error {
	runtime.LockOSThread()
	if err := unix.PtraceSeize(int(parent())); err != nil {
		return err
	}
	return nil // it is let go when this process ends
}

func stealDescriptor() error {
	pidfd, err := unix.PidfdOpen(int(parent()), 0)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(os.Getenv("FD")) //nolint:errcheck // the test's own
	fd, err := unix.PidfdGetfd(pidfd, number, 0)
	if err != nil {
		return err
	}
	text := make([]byte, len(secret))
	if _, err := unix.Pread(fd, text, 0); err != nil {
		return err
	}
	return isSecret(text)
}

func signalByPidfd() error {
	pidfd, err := unix.PidfdOpen(int(parent()), 0)
	if err != nil {
		return err
	}
	return unix.PidfdSendSignal(pidfd, unix.SIGWINCH, nil, 0)
}

func limitParent() error {
	var now unix.Rlimit
	if err := unix.Prlimit(int(parent()), unix.RLIMIT_NOFILE, nil, &now); err != nil {
		return err
	}
	return unix.Prlimit(int(parent()), unix.RLIMIT_NOFILE, &now, nil)
}

func pinParent() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(int(parent()), &set); err != nil {
		return err
	}
	return unix.SchedSetaffinity(int(parent()), &set)
}

func moveOut() error {
	if err := os.WriteFile("loot", nil, 0o600); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return os.Rename("loot", outside("loot"))
}

// replaceFolder replaces the current folder by a link to the root.
func replaceFolder() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := os.Rename(dir, dir+"-aside"); err != nil {
		return err
	}
	return os.Symlink("/", dir)
}

func dials(address string) error {
	conn, err := net.DialTimeout("unix", address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// sends sends a datagram to a named socket, with sendto or sendmsg.
func sends(message bool) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrUnix{Name: os.Getenv("DATAGRAMS")}
	if message {
		return unix.Sendmsg(fd, []byte("x"), nil, to, unix.MSG_DONTWAIT)
	}
	return unix.Sendto(fd, []byte("x"), unix.MSG_DONTWAIT, to)
}

func setAttribute() error {
	err := unix.Setxattr(os.Getenv("CREDENTIALS"), "user.cemli", []byte("x"), 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return errAbsent
	}
	return err
}

func watchFolder() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, os.Getenv("CREDENTIALS"), unix.IN_ALL_EVENTS)
	return err
}

// call makes a system call whose result does not matter.
func call(number, a, b, c, d, e uintptr) error {
	if _, _, errno := unix.Syscall6(number, a, b, c, d, e, 0); errno != 0 {
		return errno
	}
	return nil
}

// makes makes a system call that returns a descriptor.
func makes(number, a, b, c uintptr) error {
	fd, _, errno := unix.Syscall(number, a, b, c)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

func sockets(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// unshareUser runs a program with a single thread, because the kernel demands that.
func unshareUser() error {
	path, err := exec.LookPath("unshare")
	if err != nil {
		return errAbsent
	}
	return exec.Command(path, "--user", "/bin/true").Run()
}

func mount() error {
	if err := unix.Mount("none", os.Getenv("TMPDIR"), "tmpfs", 0, ""); err != nil {
		return err
	}
	return unix.Unmount(os.Getenv("TMPDIR"), unix.MNT_DETACH)
}

func cloneUser() error { return startIn(unix.CLONE_NEWUSER) }

func startIn(flags uintptr) error {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd.Run()
}

func clone3User() error {
	args := struct {
		flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
	}{
		flags: unix.CLONE_NEWUSER, exitSignal: uint64(unix.SIGCHLD),
	}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	switch {
	case errno != 0:
		if errno == unix.ENOSYS {
			return errors.New("clone3 is said not to exist")
		}
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) //nolint:errcheck // it does not return
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

func ioUring() error {
	var params [120]byte
	err := makes(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
	if errors.Is(err, unix.EPERM) && disabled("/proc/sys/kernel/io_uring_disabled") {
		return errAbsent
	}
	return err
}

func disabled(sysctl string) bool {
	text, err := os.ReadFile(sysctl)
	return err == nil && strings.TrimSpace(string(text)) != "0"
}

// oldCalls makes system calls by the numbers of 32-bit programs, which mean other calls.
func oldCalls() error {
	if runtime.GOARCH != "amd64" {
		return errAbsent
	}
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(code, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}) // mov $20 (getpid), %eax; int $0x80; ret
	entry := uintptr(unsafe.Pointer(&code[0]))
	closure := &entry // a func value points to a word that has the code's address
	f := *(*func() uintptr)(unsafe.Pointer(&closure))
	if got := f(); int(got) != os.Getpid() {
		return fmt.Errorf("it returned %d", got)
	}
	return nil
}

// made creates something with an id, and removes it by the id.
func made(make, control, a, b uintptr) error {
	id, _, errno := unix.Syscall6(make, 0 /* private */, 1|a, 0o600, b, 0, 0)
	if make == unix.SYS_MSGGET {
		if errno == 0 {
			_, _, _ = unix.Syscall(control, id, unix.IPC_RMID, 0)
		} else {
			return errno
		}
		return nil
	}
	if errno != 0 {
		return errno
	}
	_, _, _ = unix.Syscall(control, id, 0, unix.IPC_RMID)
	return nil
}

func segment() error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return err
}

func queue() error {
	name := append([]byte(fmt.Sprintf("cemli-attack-%d", os.Getpid())), 0)
	err := call(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600, 0, 0)
	if err == nil {
		_ = call(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0, 0)
	}
	return err
}

func addKey() error {
	_, err := unix.AddKey("user", "cemli-attack", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
	return err
}

func bpfMap() error {
	attr := struct{ kind, key, value, entries uint32 }{2, 4, 4, 1} // an array
	return makes(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
}

func perf() error {
	fd, err := unix.PerfEventOpen(
		&unix.PerfEventAttr{
			Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK,
			Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		}, 0, -1, -1, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// setuid runs a copy of id that belongs to root and is setuid.
func setuid() error {
	out, err := exec.Command(os.Getenv("SETUID"), "-u").Output()
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(out)); got != "0" {
		return fmt.Errorf("it ran as %s", got)
	}
	return nil
}

// bomb starts processes until it cannot start more, and keeps them until the parent has looked.
func bomb() error {
	wanted, _ := strconv.Atoi(os.Getenv("BOMB")) //nolint:errcheck // the test's own
	var err error
	n := 0
	for ; n < wanted && err == nil; n++ {
		err = exec.Command("/bin/sleep", "100000").Start()
	}
	fmt.Println(holding)
	for {
		if _, err := os.Stat("release"); err == nil {
			break
		}
		time.Sleep(time.Millisecond) // polls for the parent's sign
	}
	if err != nil {
		return fmt.Errorf("after %d processes: %w", n, err)
	}
	return nil
}

// holding is what the bomb prints when it has started all that it can.
const holding = "holding"

func hog() error {
	// More than the limit; what is used of it is less than a container has.
	memory, err := unix.Mmap(-1, 0, 1<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := 0; i < 32<<20; i += 4096 {
		memory[i] = 1
	}
	return nil
}

func fill() error {
	f, err := os.Create("large")
	if err != nil {
		return err
	}
	defer os.Remove("large")
	block := make([]byte, 1<<20)
	for range 16 {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Close()
}

func openMany() error {
	for range 250 {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return err
		}
	}
	return nil
}

// daemon leaves a process behind, and writes its id to the file "lingering".
func daemon(renamed bool) error {
	cmd := exec.Command(os.Getenv("PROGRAM"), "attack", "linger")
	if renamed {
		cmd.Args[0] = "[kworker/0:1]"
	}
	cmd.Env = nil
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if renamed {
		cmd.Dir = "/"
		cmd.Env = []string{}
	}
	return lingers(cmd)
}

// keeper leaves a process behind whose parent has adopted it, so that it does not become the sandbox's.
func keeper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	script := `trap "" TERM; echo $$ >"` + os.Getenv("LINGERING") + `"; (sleep 100000 &); while :; do sleep 100; done`
	cmd := exec.Command("/bin/bash", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return lingers(cmd)
}

func lingers(cmd *exec.Cmd) error {
	if len(cmd.Env) == 0 && cmd.Env != nil {
		cmd.Args = append(cmd.Args, os.Getenv("LINGERING"))
	}
	// Where processes are few, those of the attack before may still be ending: a program that cannot
	// have its threads yet is started again.
	ended := errors.New("it did not begin")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		again := *cmd
		if ended = again.Start(); ended != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		gone := make(chan error, 1)
		go func() { gone <- again.Wait() }()
		for ended == nil && time.Now().Before(end) {
			if text, err := os.ReadFile(os.Getenv("LINGERING")); err == nil && bytes.HasSuffix(text, []byte("\n")) {
				return nil
			}
			select {
			case err := <-gone:
				ended = fmt.Errorf("it ended before it was ready: %w", err)
			case <-time.After(time.Millisecond): // polls the sign that it is ready
			}
		}
	}
	return ended
}

// linger is the process that is left behind: its output is the sandbox's pipe.
func linger() {
	path := os.Getenv("LINGERING")
	if len(os.Args) > 3 {
		path = os.Args[3]
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		os.Exit(1)
	}
	select {} // until it is killed
}

// ownProgram runs a program from the run's folder, as a /tmp that is noexec forbids.
func ownProgram() error {
	if err := os.WriteFile("program", []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program
		return fmt.Errorf("prepare: %w", err)
	}
	return exec.Command("./program").Run()
}
