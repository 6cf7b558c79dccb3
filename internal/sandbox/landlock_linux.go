package sandbox

import (
	"errors"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// landlockSetup is the view of the system that a command gets.
type landlockSetup struct {
	ABI      int // of the rule set: all that it has is handled, and nothing else
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
	// device is for device files, which their controls are a part of.
	device = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev)
)

// newestRules is the last ABI that adds rights.
const newestRules = 10

// rights are what an ABI can handle.
type rights struct {
	abi    int
	fs     landlock.AccessFSSet
	net    landlock.AccessNetSet
	scoped landlock.ScopedSet
}

// added is what each ABI adds to the one before it.
var added = []rights{
	{abi: 1, fs: change&^ll.AccessFSTruncate&^ll.AccessFSRefer | execute | ll.AccessFSMakeChar | ll.AccessFSMakeBlock},
	{abi: 2, fs: ll.AccessFSRefer},
	{abi: 3, fs: ll.AccessFSTruncate},
	{abi: 4, net: ll.AccessNetBindTCP | ll.AccessNetConnectTCP},
	{abi: 5, fs: ll.AccessFSIoctlDev},
	{abi: 6, scoped: ll.ScopeSignal | ll.ScopeAbstractUnixSocket},
	{abi: 9, fs: ll.AccessFSResolveUnix},
	{abi: newestRules, net: ll.AccessNetBindUDP | ll.AccessNetConnectSendUDP},
}

// rightsOf is all that an ABI can handle.
func rightsOf(abi int) rights {
	all := rights{abi: abi}
	for _, r := range added {
		if r.abi <= abi {
			all.fs, all.net, all.scoped = all.fs|r.fs, all.net|r.net, all.scoped|r.scoped
		}
	}
	return all
}

// apply puts the rule set around this process. It never does with less: the library's best
// effort would, on ABI 1, do without any rule and say that all is well.
func (l landlockSetup) apply() error {
	handled := rightsOf(l.ABI)
	if l.Network {
		handled.net = 0
	}
	config, err := landlock.NewConfig(handled.fs, handled.net, handled.scoped)
	if err != nil {
		return err
	}
	return config.Restrict(l.rules(handled.fs)...)
}

// rules allow what a command may do, as far as it is handled; what is not, nothing forbids.
func (l landlockSetup) rules(handled landlock.AccessFSSet) []landlock.Rule {
	rules := []landlock.Rule{
		landlock.PathAccess((read|execute)&handled, programs...).IgnoreIfMissing(),
		landlock.PathAccess(change&handled, l.Writable...),
		landlock.PathAccess(device&handled, devices...).IgnoreIfMissing(),
	}
	for _, path := range l.Programs {
		rules = append(rules, landlock.PathAccess((read|execute)&handled, path))
	}
	for _, path := range readable {
		rules = append(rules, readRule(path))
	}
	// Where the name servers are listed is often a link to somewhere else.
	if path, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		rules = append(rules, readRule(path))
	}
	return rules
}

// readRule allows to read a folder and what is below it, or one file.
func readRule(path string) landlock.Rule {
	if isFile(path) {
		return landlock.PathAccess(ll.AccessFSReadFile, path).IgnoreIfMissing()
	}
	return landlock.PathAccess(read, path).IgnoreIfMissing()
}

// landlockABI is the version that the kernel has; 0 for none, and then why.
func landlockABI() (int, Missing) {
	abi, err := ll.LandlockGetABIVersion()
	switch {
	case err == nil && abi > 0:
		return abi, ""
	case errors.Is(err, unix.ENOSYS):
		return 0, NotBuilt
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, NotEnabled
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return 0, Forbidden
	}
	return 0, Unknown
}
