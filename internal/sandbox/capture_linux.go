package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// When everything that could write has been killed, output is read to its end, however slow the
// log is, for up to drainWhole. Should a writer be left, reading ends when nothing has come for
// drain, and after drainLimit.
const (
	drain      = time.Second
	drainLimit = 3 * time.Second
	drainWhole = time.Minute
)

// capture carries one stream of the command to a writer.
type capture struct {
	r, w *os.File
	dst  io.Writer
	done sync.WaitGroup
	lost atomic.Bool  // reading ended before the output did
	last atomic.Int64 // when reading has to have ended, in Unix nanoseconds; 0: not yet known
}

// newCapture makes a stream; the command's user, who may not be this program's, can open
// it anew, as a script does with /dev/stdout.
func newCapture(dst io.Writer, user *syscall.Credential) (*capture, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	c := &capture{r: r, w: w, dst: dst}
	if user != nil {
		if err := w.Chown(int(user.Uid), int(user.Gid)); err != nil {
			c.close()
			return nil, fmt.Errorf("give pipe away: %w", err)
		}
	}
	return c, nil
}

// begin gives up this process's writing end and starts to copy.
func (c *capture) begin() {
	_ = c.w.Close() // the child has its own
	c.done.Go(func() {
		buf := make([]byte, 64<<10)
		for idle := false; ; {
			n, err := c.r.Read(buf)
			if n > 0 {
				_, _ = c.dst.Write(buf[:n]) // a full log must not block the child
				idle = false
			}
			switch {
			case err == nil:
			case errors.Is(err, os.ErrDeadlineExceeded) && !idle && time.Now().UnixNano() < c.last.Load():
				// The time may have gone by in Write, with more to read.
				idle = true
				_ = c.r.SetReadDeadline(time.Now().Add(drain))
			default:
				c.lost.Store(!errors.Is(err, io.EOF))
				return
			}
		}
	})
}

// end says that the command has ended, and whether everything that could write has.
func (c *capture) end(all bool) {
	limit := drainLimit
	if all {
		limit = drainWhole
	}
	c.last.Store(time.Now().Add(limit).UnixNano())
	_ = c.r.SetReadDeadline(time.Now().Add(drain)) // pipes of os.Pipe have deadlines
}

// finish waits, after end, for the last writer, but not for one that will not go.
func (c *capture) finish() {
	c.done.Wait()
	_ = c.r.Close()
}

func (c *capture) close() {
	_ = c.r.Close()
	_ = c.w.Close()
}
