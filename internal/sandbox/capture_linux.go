package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// When everything that could write has been killed, output is read to its end, however slow the
// log is, for up to drainWhole. Should a writer be left, reading ends when nothing has come for
// drain, and after drainLimit.
const (
	drain      = time.Second
	drainLimit = 3 * time.Second
	drainWhole = time.Minute
)

const (
	// pipeWrites is how many small writes a pipe should hold: each takes a page.
	pipeWrites = 64
	// largestPipe is the most that the system lets a pipe hold. No read is shorter: what is left
	// of a write that does not fit into it would be lost.
	largestPipe = 1 << 20
	// mostPackets of one pipe are read before the other one has its turn.
	mostPackets = 256
	// signalWait is how long the signal of a write may take that is there to be read.
	signalWait = time.Millisecond
)

// packet is the most that one read gives of a pipe that keeps writes apart.
var packet = os.Getpagesize()

// capture carries the command's two streams to their writers, from one goroutine and in the order
// in which the command wrote: pipes keep writes apart, and the kernel tells whose turn it was.
// Where it does not, what is there at the same time is in any order.
type capture struct {
	streams [2]stream
	wake    int           // event: end was called
	ended   chan struct{} // closed when both streams have reached their end
	done    chan struct{} // closed when nothing is read any more
	lost    bool          // reading ended before the output did; known when done
	last    atomic.Int64  // when reading has to have ended, in Unix nanoseconds; 0: not yet known
	buf     []byte
}

// stream is one of them.
type stream struct {
	r    int // descriptor
	w    *os.File
	dst  io.Writer
	over bool
}

// newCapture makes the streams; the command's user, who may not be this program's, can open
// them anew, as a script does with /dev/stdout.
func newCapture(stdout, stderr io.Writer, user *syscall.Credential) (*capture, error) {
	c := &capture{wake: -1, ended: make(chan struct{}), done: make(chan struct{}), buf: make([]byte, largestPipe)}
	for i, dst := range []io.Writer{stdout, stderr} {
		c.streams[i] = stream{r: -1, dst: dst}
	}
	for i := range c.streams {
		if err := c.streams[i].open(user); err != nil {
			c.close()
			return nil, err
		}
	}
	var err error
	if c.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		c.close()
		return nil, fmt.Errorf("make event: %w", err)
	}
	return c, nil
}

func (s *stream) open(user *syscall.Credential) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	s.r, s.w = ends[0], os.NewFile(uintptr(ends[1]), "output")
	if err := unix.SetNonblock(s.r, true); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(s.r), unix.F_SETPIPE_SZ, min(pipeWrites*packet, largestPipe)) // a smaller one will do
	if user == nil {
		return nil
	}
	if err := s.w.Chown(int(user.Uid), int(user.Gid)); err != nil {
		return fmt.Errorf("give pipe away: %w", err)
	}
	return nil
}

// begin starts to read. The command may be started when it returns.
func (c *capture) begin() {
	ready := make(chan struct{})
	go c.read(ready)
	<-ready
}

// started gives up this process's writing ends: the child has its own.
func (c *capture) started() {
	for i := range c.streams {
		_ = c.streams[i].w.Close()
	}
}

// read reads both streams to their ends.
func (c *capture) read(ready chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	writes, err := newOrder(c.streams[0].r, c.streams[1].r)
	if err == nil {
		defer writes.close()
	}
	close(ready)
	for !c.streams[0].over || !c.streams[1].over {
		polled := c.poll()
		if c.pastLast() || c.last.Load() != 0 && polled == 0 {
			c.lost = true
			return
		}
		if writes == nil || !c.inOrder(writes) {
			c.inAnyOrder()
		}
	}
	close(c.ended)
}

// poll waits for something to read, or after end for as long as reading may go on.
func (c *capture) poll() (ready int) {
	fds := []unix.PollFd{{Fd: -1, Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}, {Fd: int32(c.wake), Events: unix.POLLIN}} // #nosec G115 -- a descriptor
	for i, s := range c.streams {
		if !s.over {
			fds[i].Fd = int32(s.r) // #nosec G115 -- a descriptor
		}
	}
	wait := -1
	if c.last.Load() != 0 {
		fds[2].Fd, wait = -1, int(drain.Milliseconds())
	}
	for {
		n, err := unix.Poll(fds, wait)
		if !errors.Is(err, unix.EINTR) {
			return n
		}
	}
}

// pastLast reports whether reading has to have ended.
func (c *capture) pastLast() bool {
	last := c.last.Load()
	return last != 0 && time.Now().UnixNano() > last
}

// inOrder reads what the next writes have written; false if none is known of.
func (c *capture) inOrder(writes *order) bool {
	next := writes.next()
	if next == nil && c.readable() {
		fds := []unix.PollFd{{Fd: int32(writes.signals), Events: unix.POLLIN}} // #nosec G115 -- a descriptor
		_, _ = unix.Poll(fds, int(signalWait.Milliseconds()))
		next = writes.next()
	}
	for _, i := range next {
		c.take(i)
	}
	return next != nil
}

// inAnyOrder reads what is there.
func (c *capture) inAnyOrder() {
	for i := range c.streams {
		c.take(i)
	}
}

// readable reports whether there is something to read now.
func (c *capture) readable() bool {
	for _, s := range c.streams {
		if n, err := unix.IoctlGetInt(s.r, unix.FIONREAD); !s.over && err == nil && n > 0 {
			return true
		}
	}
	return false
}

// take reads what one write has left in a stream: full packets, and one that is not.
func (c *capture) take(i int) {
	s := &c.streams[i]
	for range mostPackets {
		if s.over {
			return
		}
		n, err := unix.Read(s.r, c.buf)
		if n > 0 {
			_, _ = s.dst.Write(c.buf[:n]) // a full log must not block the child
		}
		s.over = n == 0 && err == nil
		if n != packet {
			return
		}
	}
}

// end says that the command has ended, and whether everything that could write has.
func (c *capture) end(all bool) {
	limit := drainLimit
	if all {
		limit = drainWhole
	}
	c.last.Store(time.Now().Add(limit).UnixNano())
	_, _ = unix.Write(c.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// finish waits, after end, for the last writer, but not for one that will not go. It reports
// whether all that was written was read.
func (c *capture) finish() (whole bool) {
	<-c.done
	c.close()
	return !c.lost
}

// close gives everything back; nothing may be reading.
func (c *capture) close() {
	for _, s := range c.streams {
		if s.w != nil {
			_ = s.w.Close() // it may be closed
		}
		if s.r >= 0 {
			_ = unix.Close(s.r)
		}
	}
	if c.wake >= 0 {
		_ = unix.Close(c.wake)
	}
}
