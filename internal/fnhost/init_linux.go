package fnhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// self is the path of the running program, as every process has it.
const self = "/proc/self/exe"

// The arguments of this program where it is an instance's init: initName, a stage, and what the stage takes.
const (
	initName     = "function-init"
	stageEnclose = "enclose" // the instance's folder, its user, the function's memory, and what starts says
	stageStart   = "start"   // the function's binary
)

// aliveFD is the descriptor of an init that ends with the host.
const aliveFD = 3

// Dispatch is this program's way if it was started as the init of an instance. It must be the first in the main
// function of a program that uses Config.Init.
func Dispatch() {
	if len(os.Args) < 4 || os.Args[0] != self || os.Args[1] != initName {
		return
	}
	runtime.GOMAXPROCS(1)
	var err error
	switch {
	case os.Args[2] == stageStart:
		err = beInit(os.Args[3])
	case os.Args[2] == stageEnclose && len(os.Args) == 7:
		err = enclose(os.Args[3], os.Args[4], os.Args[5], os.Args[6])
	default:
		err = errors.New("this is a part of the program for its own use")
	}
	fmt.Fprintln(os.Stderr, "init:", err)
	os.Exit(1)
}

// initCommand is the command that starts an instance's init, as root in spaces of its own that are then closed.
func (i *instance) initCommand() ([]string, *syscall.SysProcAttr) {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	start := []string{self, initName, stageStart, i.host.binary}
	if i.user != nil {
		attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC
		start = []string{
			self, initName, stageEnclose, i.dir, strconv.Itoa(int(i.user.Uid)), strconv.Itoa(i.host.config.MemoryMB),
			i.host.binary,
		}
	}
	return slices.Concat(i.host.config.Under, start), attr
}

// beInit starts the function as a container's init does, waits for everything that loses its parent, and ends with the
// function, or with the host. It does not return if the function was started.
func beInit(binary string) error {
	go func() { // the other end is closed when the host has ended
		_, _ = io.Copy(io.Discard, os.NewFile(aliveFD, "alive"))
		os.Exit(1) // the function ends with it
	}()
	unix.CloseOnExec(aliveFD)
	runtime.LockOSThread()                                   // the function ends with this thread
	cmd := exec.CommandContext(context.Background(), binary) // #nosec G702 -- the function that the host named
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the function: %w", err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR: //nolint:errorlint // it is a number
		case err != nil:
			return fmt.Errorf("wait for the function: %w", err)
		case pid == cmd.Process.Pid && status.Exited():
			os.Exit(status.ExitStatus())
		case pid == cmd.Process.Pid:
			os.Exit(128 + int(status.Signal()))
		}
	}
}

// enclose makes the spaces that this process is in a container: of the machine's files nothing can be written but a
// /tmp and a /dev/shm of its own, of the instance's folders only its own are there, and no other process is to be seen.
// Then it becomes the user, and the init. It returns only if that fails.
func enclose(dir, user, memory, binary string) error {
	id, errID := strconv.Atoi(user)
	megabytes, errMemory := strconv.Atoi(memory)
	if err := errors.Join(errID, errMemory); err != nil {
		return err
	}
	if err := furnishContainer(dir, binary, megabytes); err != nil {
		return fmt.Errorf("make a container: %w", err)
	}
	err := errors.Join(
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), os.Chdir("/"),
		syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
	if err != nil {
		return fmt.Errorf("become user %d: %w", id, err)
	}
	// As another program it can be traced by its user, as an init can.
	return unix.Exec(self, []string{self, initName, stageStart, binary}, os.Environ())
}

// furnishContainer mounts what the container has.
func furnishContainer(dir, binary string, megabytes int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep the mounts from others: %w", err)
	}
	var kept [2]int // before they are covered
	for n, path := range []string{dir, binary} {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		kept[n] = fd
	}
	if err := readOnly("/", true); err != nil {
		return err
	}
	tmp := fmt.Sprintf("mode=1777,size=%dm,nr_inodes=%d", megabytes/4, megabytes*8) // as on OCI
	for _, m := range []struct{ what, where, options string }{
		{"proc", "/proc", ""},
		{"tmpfs", "/tmp", tmp},
		{"tmpfs", "/dev/shm", "mode=1777,size=64m"},
	} {
		const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
		if err := unix.Mount(m.what, m.where, m.what, flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	return bringBack(dir, binary, kept)
}

// bringBack mounts the instance's folder and the function's binary where they were, among nothing else of the host's.
func bringBack(dir, binary string, kept [2]int) error {
	host := filepath.Dir(dir)
	if _, err := os.Stat(host); err == nil { // #nosec G703 -- the host named it; it is not below /tmp
		if err := unix.Mount("tmpfs", host, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=711,size=1m"); err != nil {
			return fmt.Errorf("cover %s: %w", host, err)
		}
	}
	err := os.MkdirAll(dir, 0o711) // #nosec G301 G703 -- to pass through; the host named it
	if err == nil {
		err = os.WriteFile(binary, nil, 0o600) // #nosec G703 -- likewise
	}
	if err != nil {
		return err
	}
	for n, path := range []string{dir, binary} {
		if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(kept[n]), path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", path, err)
		}
	}
	return readOnly(dir, false)
}

// readOnly makes what is mounted at a path, and below, read-only, or writable again. On kernels that cannot, it stays
// as it is: users can write little outside of /tmp.
func readOnly(path string, on bool) error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if !on {
		attr = &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	}
	err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, attr)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}
