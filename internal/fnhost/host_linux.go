package fnhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"cemli-executor/internal/proctree"
	"cemli-executor/internal/scratch"
)

// maxSocket is the longest path that a unix socket can have, with room to spare.
const maxSocket = 100

// New prepares a host; nothing is started before the first call.
func New(config Config) (*Host, error) {
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("host function: %w", err)
	}
	dir, remove, err := scratch.Dir("cemli-fn-")
	if err != nil {
		return nil, fmt.Errorf("host function: %w", err)
	}
	h := &Host{
		config: config, dir: dir, remove: remove, log: &lineWriter{w: config.Log},
		warm: make(chan *instance, config.Instances), cold: make(chan *instance, config.Instances),
	}
	h.ctx, h.close = context.WithCancel(context.Background())
	if err := proctree.Adopt(); err != nil {
		return nil, errors.Join(fmt.Errorf("host function: %w", err), remove())
	}
	if err := h.furnish(); err != nil {
		return nil, errors.Join(fmt.Errorf("host function: %w", err), remove())
	}
	for n := range config.Instances {
		h.cold <- newInstance(h, n)
	}
	return h, nil
}

// furnish opens the host's folder to the users of its instances, who may pass through
// it and run the binary.
func (h *Host) furnish() error {
	longest := filepath.Join(h.dir, strconv.Itoa(h.config.Instances), "iofs", "phonylsnr.sock")
	if len(longest) > maxSocket {
		return fmt.Errorf("the path of a socket, %s, is too long; set TMPDIR to a shorter folder", longest)
	}
	if err := os.Chmod(h.dir, 0o711); err != nil { // #nosec G302 -- to pass through, not to read
		return err
	}
	h.binary = filepath.Join(h.dir, "function")
	if err := copyFile(h.binary, h.config.Binary); err != nil {
		return err
	}
	var err error
	h.alive, h.living, err = os.Pipe()
	return err
}

// copyFile copies a program to where every user can run it.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) // #nosec G302 -- it is a program
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chmod(to, 0o755)) // #nosec G302 -- whatever the umask
}

// Close kills every instance and removes what the host made.
func (h *Host) Close() error {
	h.mu.Lock()
	h.close()
	h.mu.Unlock()
	h.calls.Wait()
	for range h.config.Instances {
		select {
		case i := <-h.warm:
			i.kill()
		case <-h.cold:
		}
	}
	_, _ = h.alive.Close(), h.living.Close() // nothing was written
	return h.remove()
}

// sweep ends what ended functions left behind, in whatever group or session: this process is its parent now. It
// spares running functions and their processes.
func (h *Host) sweep() {
	running.Lock()
	defer running.Unlock()
	if err := proctree.Sweep(sweepLimit, slices.Collect(maps.Keys(running.pids))...); err != nil {
		h.log.line([]byte("a process that a function started cannot be ended: " + err.Error()))
	}
}

// sweepLimit is how long killed processes may take to go.
const sweepLimit = 10 * time.Second
