package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Probe asks the kernel, once: it does not change.
func Probe() Support { return probe() }

var probe = sync.OnceValue(func() Support {
	abi, missing := landlockABI()
	return Support{Landlock: abi, NoLandlock: missing, Seccomp: seccompSupported()}
})

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
