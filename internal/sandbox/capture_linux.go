package sandbox

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// drain is how long output is still read when everything that could write has been killed.
const drain = time.Second

// capture carries one stream of the command to a writer.
type capture struct {
	r, w *os.File
	dst  io.Writer
	done sync.WaitGroup
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
		for {
			n, err := c.r.Read(buf)
			if n > 0 {
				_, _ = c.dst.Write(buf[:n]) // a full log must not block the child
			}
			if err != nil {
				return
			}
		}
	})
}

// finish waits for the last writer, but not for one that will not go.
func (c *capture) finish() {
	_ = c.r.SetReadDeadline(time.Now().Add(drain)) // pipes of os.Pipe have deadlines
	c.done.Wait()
	_ = c.r.Close()
}

func (c *capture) close() {
	_ = c.r.Close()
	_ = c.w.Close()
}
