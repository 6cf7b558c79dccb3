package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// phony is what the FDK's own socket's name begins with.
const phony = "phony"

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
	l := &listener{dir: filepath.Dir(path), name: phony + filepath.Base(path), log: log}
	l.paths = []string{l.dir, os.TempDir(), workdir}
	for _, variable := range []string{"OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"} {
		if path := getenv(variable); filepath.IsAbs(path) {
			l.paths = append(l.paths, filepath.Dir(path), path)
		}
	}
	return l
}

// hide renames the socket; show undoes that, and restores the modes that scripts may have changed meanwhile. What show
// cannot restore it tells doubt.
func (l *listener) hide(doubt func(format string, args ...any)) (show func()) {
	modes := map[string]fs.FileMode{}
	for _, path := range l.paths {
		if info, err := os.Stat(path); err == nil {
			modes[path] = info.Mode()
		}
	}
	link, from := filepath.Join(l.dir, strings.TrimPrefix(l.name, phony)), filepath.Join(l.dir, l.name)
	hidden := filepath.Join(l.dir, rand.Text())
	target, noLink := os.Readlink(link)
	err := os.Rename(from, hidden)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("cannot hide the socket from scripts", "error", err.Error())
	}
	socket, noSocket := os.Lstat(hidden)
	return func() {
		l.restore(modes, doubt)
		if noLink == nil {
			if now, err := os.Readlink(link); err != nil || now != target {
				doubt("%s is no longer the link to the function's socket", link)
				_ = os.Remove(link) // nobody is to call whoever may be behind it
			}
		}
		if err != nil || noSocket != nil {
			return
		}
		if now, err := os.Lstat(hidden); err != nil || !os.SameFile(socket, now) {
			doubt("the function's socket was removed or replaced")
			_ = os.Remove(link)
			return
		}
		if err := l.show(hidden, from); err != nil {
			doubt("the function's socket cannot be shown again: %v", err)
		}
	}
}

// show gives the socket its name again, which nothing has meanwhile.
func (l *listener) show(hidden, name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("there is another %s", name), os.Rename(hidden, name))
	}
	return os.Rename(hidden, name)
}

// restore opens again what a script has closed, folders before what is in them.
func (l *listener) restore(modes map[string]fs.FileMode, doubt func(format string, args ...any)) {
	for _, path := range l.paths {
		mode, known := modes[path]
		if info, err := os.Stat(path); !known || err == nil && info.Mode() == mode {
			continue
		}
		if err := os.Chmod(path, mode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			doubt("the mode of %s cannot be restored: %v", path, err)
		}
	}
}
