package sandbox

import (
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// setup is what the child is told: which layers to put around itself, and what to become.
type setup struct {
	Path string
	Args []string // with the program's name
	Dir  string
	Env  []string

	Level      Level  // the least that must be in force
	ScriptPath string // compared with descriptor scriptFD; "" for none
	Watched    bool   // the parent counts processes, as no limit of the kernel's can

	NoNewPrivileges bool
	Limits          *Limits
	Landlock        *landlockSetup
	Seccomp         *seccompSetup

	// What this side does; the child needs not know.
	user   *syscall.Credential // nil: this program's
	hidden bool                // this program's memory is not for other processes to see
	sweep  bool                // strays are killed
	watch  int                 // processes that are counted for; 0: none are
}

// userID is the id of the command's own user; 0: there is none.
func (s setup) userID() int {
	if s.user == nil {
		return 0
	}
	return int(s.user.Uid)
}

// The child's descriptors besides the standard ones.
const (
	setupFD  = 3 // the setup, as JSON, up to its end
	reportFD = 4 // one report, as JSON; closed when the command begins
	scriptFD = 5
)

// report is what the child says before it becomes the command, or instead.
type report struct {
	Layers Layers
	CPU    time.Duration // used so far
	Layer  string        `json:",omitzero"` // that could not be put in place; "exec" for the command itself
	Error  string        `json:",omitzero"`
}

// The users that commands run as where this program is root: from a range that is set
// aside for users made on the fly.
const (
	firstUser = 62000
	users     = 3000
)

// User is the id, of user and group alike, that commands of a level run as and that must
// be able to use their folders; ok is false where it is this program's own.
func User(level Level) (id int, ok bool) {
	if level == LevelNone || os.Geteuid() != 0 {
		return 0, false
	}
	return ownUser(), true
}

// ownUser is chosen at random: two programs at once should not share one, and in containers ids of
// processes are the same everywhere.
var ownUser = sync.OnceValue(func() int { return firstUser + rand.IntN(users) }) // #nosec G404 -- chance, not secrecy

// newSetup lays out the layers of a command's level on this kernel.
func newSetup(c Command) setup {
	s := setup{
		Path: c.Path, Args: append([]string{c.Path}, c.Args...), Dir: c.Dir, Env: c.Env,
		Level: c.Level, hidden: true, sweep: true,
	}
	if c.Script != nil {
		s.ScriptPath = c.ScriptPath
	}
	if c.Level != LevelNone {
		limits, abi := c.Limits.complete(), min(Probe().Landlock, newestRules)
		s.NoNewPrivileges, s.Limits, s.Seccomp = true, &limits, &seccompSetup{Network: c.Network, PathsDenied: abi >= landlockPaths}
		if id, ok := User(c.Level); ok {
			s.user = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)} // #nosec G115 -- small
		}
		if abi > 0 {
			s.Landlock = &landlockSetup{ABI: abi, Network: c.Network, Writable: c.Writable}
		}
	}
	if c.changed != nil {
		c.changed(&s)
	}
	if s.Limits != nil && s.user == nil {
		s.watch, s.Watched = s.Limits.Processes, true
	}
	return s
}
