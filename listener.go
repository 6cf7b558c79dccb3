package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// listener is the socket on which the platform calls the function. Every process that can connect to it can invoke
// the function, and a script has the function's user. Therefore the socket has, while a call runs and the platform
// makes no other, a name that nobody can guess and that confined scripts cannot list.
type listener struct {
	dir, name string
	paths     []string // which a script may close, because it is their owner
	log       *slog.Logger
}

// newListener finds the socket that FN_LISTENER names in an environment. The FDK makes another one beside it, and a
// link to that in its place.
func newListener(getenv func(string) string, workdir string, log *slog.Logger) *listener {
	path := strings.TrimPrefix(getenv("FN_LISTENER"), "unix:")
	l := &listener{dir: filepath.Dir(path), name: "phony" + filepath.Base(path), log: log}
	l.paths = []string{l.dir, os.TempDir(), workdir}
	for _, variable := range []string{"OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"} {
		if path := getenv(variable); filepath.IsAbs(path) {
			l.paths = append(l.paths, filepath.Dir(path), path)
		}
	}
	return l
}

// hide renames the socket; show undoes that, and restores the modes that scripts may have changed meanwhile.
func (l *listener) hide() (show func()) {
	modes := map[string]fs.FileMode{}
	for _, path := range l.paths {
		if info, err := os.Stat(path); err == nil {
			modes[path] = info.Mode()
		}
	}
	from := filepath.Join(l.dir, l.name)
	hidden := filepath.Join(l.dir, rand.Text())
	err := os.Rename(from, hidden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot hide the socket from scripts", "error", err.Error())
	}
	return func() {
		l.restore(modes)
		if err != nil {
			return
		}
		if err := os.Rename(hidden, from); err != nil {
			l.log.Error("cannot show the socket again: this instance can take no further call", "error", err.Error())
		}
	}
}

// restore restores the access rights that a script took away, those of folders before those of what is in them.
func (l *listener) restore(modes map[string]fs.FileMode) {
	for _, path := range l.paths {
		mode, known := modes[path]
		if info, err := os.Stat(path); !known || err == nil && info.Mode() == mode {
			continue
		}
		if err := os.Chmod(path, mode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.log.Error("cannot restore a mode", "path", path, "error", err.Error())
		}
	}
}
