package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"cemli-executor/internal/conceal"
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

// Exposed reports whether commands of a level can write the memory of another process of this program's user: where
// Landlock is in force, they cannot.
func Exposed(level Level) bool {
	_, own := User(level)
	return !own && level != LevelNone && Probe().Landlock == 0 && conceal.Exposed()
}
