package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Probe returns what the kernel offers. It asks only once, because that does not change.
func Probe() Support { return probe() }

var probe = sync.OnceValue(func() Support {
	abi, missing := landlockABI()
	return Support{Landlock: abi, NoLandlock: missing, Seccomp: seccompSupported()}
})

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// MayRun reports whether commands may execute a program when Landlock is in force. It follows links.
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
