package sandbox

import (
	"errors"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// landlockSetup says what a command may access.
type landlockSetup struct {
	ABI      int // all rights of this ABI are handled, and no others
	Network  bool
	Writable []string
	Programs []string // more places to read and execute, for tests
}

// programs are the folders that commands may read and execute. Files in the run's own folders are never executed, as
// if /tmp forbade that.
var programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"}

// readable are the folders and files that commands may read: the system's settings, certificates and name servers,
// and what the kernel says about the machine but not about processes.
var readable = []string{
	"/etc", "/var/lib/ca-certificates", "/run/systemd/resolve",
	"/sys/devices/system/cpu", "/sys/fs/cgroup",
	"/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/loadavg", "/proc/version",
	"/proc/filesystems", "/proc/sys",
}

// devices are the devices that commands may read and write.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

const (
	read    = landlock.AccessFSSet(ll.AccessFSReadFile | ll.AccessFSReadDir)
	execute = landlock.AccessFSSet(ll.AccessFSExecute)
	// change is every right except executing and those for device files.
	change = read | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRefer |
		ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir | ll.AccessFSMakeReg |
		ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym
	// device is the rights for device files, including ioctl.
	device = landlock.AccessFSSet(
		ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev)
)

// newestRules is the last ABI that adds rights to those below.
const newestRules = 10

// rights are the rights that an ABI handles.
type rights struct {
	abi    int
	fs     landlock.AccessFSSet
	net    landlock.AccessNetSet
	scoped landlock.ScopedSet
}

// added is what each ABI adds to the previous one.
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

// rightsOf is all rights that an ABI handles.
func rightsOf(abi int) rights {
	all := rights{abi: abi}
	for _, r := range added {
		if r.abi <= abi {
			all.fs, all.net, all.scoped = all.fs|r.fs, all.net|r.net, all.scoped|r.scoped
		}
	}
	return all
}

// apply puts the rule set in force for this process, in full or not at all: the library's best effort would, on ABI
// 1, apply no rule and report success.
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

// rules are the rules that allow what a command may do. Nothing restricts rights that are not handled.
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
	// The list of name servers is often a link to a file elsewhere.
	if path, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		rules = append(rules, readRule(path))
	}
	return rules
}

// readRule allows reading one file, or a folder and everything below it.
func readRule(path string) landlock.Rule {
	if isFile(path) {
		return landlock.PathAccess(ll.AccessFSReadFile, path).IgnoreIfMissing()
	}
	return landlock.PathAccess(read, path).IgnoreIfMissing()
}

// landlockABI is the ABI that the kernel has; 0 if there is none, with the reason.
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
