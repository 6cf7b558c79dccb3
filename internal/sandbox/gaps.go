package sandbox

// The ABIs of Landlock from which on it controls something.
const (
	landlockFiles   = 1 // contents of files and folders
	landlockCut     = 3 // truncating files
	landlockDevices = 5 // ioctl on devices
	landlockFull    = 6 // signals and abstract sockets
	landlockPaths   = 9 // sockets with a path
	landlockNever   = 1 << 10
)

// GapProcesses is the gap that counting processes leaves: those that start between two counts may use up all that the
// machine has, until they are ended.
const GapProcesses = "processes"

// GapInit is the gap that other processes of the same user leave, whose memory a script can write: one of them outlives
// the run, as a container's init does, and can be made to do what the script wants when the next one runs.
const GapInit = "init"

// gap is something that a kernel leaves open at any level other than none.
type gap struct {
	word  string
	until int  // the ABI of Landlock that closes the gap
	owned bool // the gap exists only if the command runs as this program's user
	open  func(Layers) bool
}

func online(l Layers) bool  { return !l.Offline }
func offline(l Layers) bool { return l.Offline }

// gaps is the table of gaps. Without network, seccomp denies connect and sendto, but not sendmsg, whose address is
// behind a pointer.
var gaps = []gap{
	{word: "files", until: landlockFiles}, // of other users, as far as everybody may read or write them
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
	{word: GapInit, until: landlockNever, owned: true, open: func(l Layers) bool { return l.Init }}, // as tried
	{word: GapProcesses, until: landlockNever, open: func(l Layers) bool { return l.Watched }},
}

// Gaps are the words for what the layers leave open. Level none promises nothing, and so has no gaps.
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
