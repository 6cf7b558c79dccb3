package sandbox

import (
	"fmt"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// landlockSetup is the view of the system that a command gets.
type landlockSetup struct {
	Full     bool // fail below the ABI that level full takes
	Network  bool
	Writable []string
	Programs []string // more places to read and execute: tests
}

// programs are the folders that commands may read and execute. Everything that the run's
// own folders hold may only be read, as on a /tmp that forbids execution.
var programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"}

// readable are folders and files to read: settings of the system, its certificates and
// name servers, and what the kernel tells of the machine but not of processes.
var readable = []string{
	"/etc", "/var/lib/ca-certificates", "/run/systemd/resolve",
	"/sys/devices/system/cpu", "/sys/fs/cgroup",
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg", "/proc/version", "/proc/filesystems", "/proc/sys",
}

// devices may be read and written.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

const (
	read    = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	execute = landlock.AccessFSSet(ll.AccessFSExecute)
	// change is everything but executing, device files and their controls.
	change = read | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRefer |
		ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir | ll.AccessFSMakeReg |
		ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym
)

// apply puts Landlock around this process and returns its ABI.
func (l landlockSetup) apply() (int, error) {
	abi := landlockABI()
	if l.Full && abi < landlockFull {
		return 0, fmt.Errorf("the kernel has ABI %d of Landlock, and level full takes %d", abi, landlockFull)
	}
	rules := []landlock.Rule{
		landlock.PathAccess(read|execute, programs...).IgnoreIfMissing(),
		landlock.PathAccess(change, l.Writable...),
	}
	for _, path := range l.Programs {
		rules = append(rules, landlock.PathAccess(read|execute, path))
	}
	for _, path := range readable {
		rules = append(rules, readRule(path))
	}
	// Where the name servers are listed is often a link to somewhere else.
	if path, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		rules = append(rules, readRule(path))
	}
	for _, path := range devices {
		rules = append(rules, landlock.RWFiles(path).WithIoctlDev().IgnoreIfMissing())
	}
	config := landlock.V10
	if l.Network {
		config.HandledAccessNet = 0
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return 0, err
	}
	return abi, nil
}

// readRule allows to read a folder and what is below it, or one file.
func readRule(path string) landlock.Rule {
	if isFile(path) {
		return landlock.PathAccess(ll.AccessFSReadFile, path).IgnoreIfMissing()
	}
	return landlock.PathAccess(read, path).IgnoreIfMissing()
}

// landlockABI is the version that the kernel has; 0 for none.
func landlockABI() int {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return abi
}
