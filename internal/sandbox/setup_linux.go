package sandbox

import (
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"cemli-executor/internal/conceal"
)

// setup tells the child which layers to apply and what to become.
type setup struct {
	Path string
	Args []string // with the program's name
	Dir  string
	Env  []string

	Level      Level  // the lowest level that must be in force
	ScriptPath string // compared with the file at scriptFD; "": no script
	Watched    bool   // the parent counts processes, because no limit of the kernel can bound them
	// Others are processes of this program's user whose memory the child tries to open; Unlisted says that the parent
	// does not know which there are.
	Others   []int
	Unlisted bool

	NoNewPrivileges bool
	Limits          *Limits
	Landlock        *landlockSetup
	Seccomp         *seccompSetup

	// What the parent does; the child need not know.
	user   *syscall.Credential // nil: this program's user
	hidden bool                // this program's memory is hidden from other processes
	sweep  bool                // strays are killed
	watch  int                 // the number of processes above which the command is ended; 0: they are not counted
}

// userID is the id of the command's own user; 0 if it has none.
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

// report is what the child reports before, or instead of, becoming the command.
type report struct {
	Layers Layers
	CPU    time.Duration // used so far
	Layer  string        `json:",omitzero"` // the layer that could not be applied; "exec" for the command itself
	Error  string        `json:",omitzero"`
}

// The users that commands run as if this program is root, from the range set aside for dynamically created users.
const (
	firstUser = 62000
	users     = 3000
)

// User is the id, of user and group alike, as which commands of a level run, and which must be able to use their
// folders; ok is false if they run as this program's user.
func User(level Level) (id int, ok bool) {
	if level == LevelNone || os.Geteuid() != 0 {
		return 0, false
	}
	return ownUser(), true
}

// ownUser is random: two programs running at once should not share a user, and process ids are no help, because they
// are alike in containers.
var ownUser = sync.OnceValue(func() int { return firstUser + rand.IntN(users) }) // #nosec G404 -- chance, not secrecy

// newSetup decides the layers for a command's level on this kernel.
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
		s.NoNewPrivileges, s.Limits, s.Seccomp = true, &limits,
			&seccompSetup{Network: c.Network, PathsDenied: abi >= landlockPaths}
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
	switch {
	case s.user != nil || c.Level == LevelNone:
	case s.Landlock != nil:
		s.Others = []int{1} // what the rules do for one they do for all
	default:
		s.Others, s.Unlisted = conceal.Others()
	}
	if s.Limits != nil && s.user == nil {
		s.watch, s.Watched = s.Limits.Processes, true
	}
	return s
}
