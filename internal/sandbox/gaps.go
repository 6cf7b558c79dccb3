package sandbox

// What Landlock does from which of its ABIs on.
const (
	landlockFiles   = 1 // contents of files, and what is in folders
	landlockCut     = 3 // cutting files off
	landlockDevices = 5 // the controls of devices
	landlockFull    = 6 // signals and abstract sockets
	landlockPaths   = 9 // sockets that have a path
	landlockNever   = 1 << 10
)

// GapProcesses is the word for what counting leaves open: processes that start between two looks
// may take all that there are, until they are ended.
const GapProcesses = "processes"

// gap is something that a kernel leaves open at a level other than none.
type gap struct {
	word  string
	until int  // the ABI of Landlock that closes it
	owned bool // only where the command has this program's user: another one has no right to it
	open  func(Layers) bool
}

func online(l Layers) bool  { return !l.Offline }
func offline(l Layers) bool { return l.Offline }

// gaps is the table. Without network seccomp denies connect and sendto, but not sendmsg, whose
// address is behind a pointer.
var gaps = []gap{
	{word: "files", until: landlockFiles}, // of another user, what everybody may read or write
	{word: "truncate", until: landlockCut},
	{word: "device_ioctl", until: landlockDevices},
	{word: "signals", until: landlockFull, owned: true},
	{word: "abstract_sockets", until: landlockFull, open: online},
	{word: "named_sockets", until: landlockPaths, open: online},
	{word: "sendmsg", until: landlockPaths, open: offline},
	{word: "chmod", until: landlockNever, owned: true},
	{word: "times", until: landlockNever, owned: true},
	{word: "xattrs", until: landlockNever, owned: true},
	{word: "inotify", until: landlockNever, owned: true},
	{word: GapProcesses, until: landlockNever, open: func(l Layers) bool { return l.Watched }},
}

// Gaps are the words for what the layers leave open; level none promises nothing and has none.
func (l Layers) Gaps() []string {
	if l.Level() == LevelNone {
		return nil
	}
	var words []string
	for _, g := range gaps {
		if l.Landlock < g.until && !(g.owned && l.User != 0) && (g.open == nil || g.open(l)) {
			words = append(words, g.word)
		}
	}
	return words
}
