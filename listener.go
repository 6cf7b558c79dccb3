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

// listener is the socket on which the platform calls the function. Whoever can connect to
// it can invoke the function, and a script has the function's user. So while a call runs, and the
// platform makes no other, the socket has a name that nobody can guess and that
// confined scripts cannot list.
type listener struct {
	dir, name string
	modes     map[string]fs.FileMode // of folders that a script may close
	log       *slog.Logger
}

// newListener finds the socket that FN_LISTENER names. The FDK makes another one beside
// it, and a link to that in its place.
func newListener(address string, log *slog.Logger) *listener {
	path := strings.TrimPrefix(address, "unix:")
	l := &listener{dir: filepath.Dir(path), name: "phony" + filepath.Base(path), modes: map[string]fs.FileMode{}, log: log}
	for _, dir := range []string{l.dir, os.TempDir()} {
		if info, err := os.Stat(dir); err == nil {
			l.modes[dir] = info.Mode()
		}
	}
	return l
}

// hide gives the socket another name; show undoes it.
func (l *listener) hide() (show func()) {
	from := filepath.Join(l.dir, l.name)
	hidden := filepath.Join(l.dir, rand.Text())
	err := os.Rename(from, hidden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot hide the socket from scripts", "error", err.Error())
	}
	return func() {
		l.restoreModes()
		if err != nil {
			return
		}
		if err := os.Rename(hidden, from); err != nil {
			l.log.Error("cannot show the socket again: this instance can take no further call", "error", err.Error())
		}
	}
}

// restoreModes opens folders again that a script has closed: it may, as their owner.
func (l *listener) restoreModes() {
	for dir, mode := range l.modes {
		if info, err := os.Stat(dir); err == nil && info.Mode() != mode {
			if err := os.Chmod(dir, mode); err != nil {
				l.log.Error("cannot restore a folder's mode", "folder", dir, "error", err.Error())
			}
		}
	}
}
