package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Support is what this machine's kernel offers.
type Support struct {
	Landlock int // ABI; 0 for none
	Seccomp  bool
}

// Probe asks the kernel, once: it does not change.
func Probe() Support { return probe() }

var probe = sync.OnceValue(func() Support { return Support{Landlock: landlockABI(), Seccomp: seccompSupported()} })

// Strongest is the strictest level that the kernel can enforce.
func (s Support) Strongest() Level {
	return Layers{NoNewPrivileges: true, Seccomp: s.Seccomp, Landlock: s.Landlock}.Level()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// MayRun reports whether a program is where commands may execute it when Landlock is in
// force. Links are followed.
func MayRun(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(programs, func(dir string) bool {
		dir, err := filepath.EvalSymlinks(dir)
		return err == nil && strings.HasPrefix(path, dir+"/")
	})
}
