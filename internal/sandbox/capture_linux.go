package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// When everything that could write has been killed, the output is read to its end for up to drainWhole, however slow
// the log is. If a writer is left, reading ends after drain without output, and after drainLimit in any case.
const (
	drain      = time.Second
	drainLimit = 3 * time.Second
	drainWhole = time.Minute
)

const (
	// pipeWrites is how many small writes a pipe should hold: each takes a page.
	pipeWrites = 64
	// mostFills is how often the streams are read again before anything is passed on.
	mostFills = 8
	// signalWait is how long to wait for the signal of a write whose bytes have already been read.
	signalWait = time.Millisecond
)

// capture passes the command's two streams on to their writers, from one goroutine and in the order in which the
// command wrote: the pipes keep writes apart, and the kernel signals which stream each write went to. Without
// signals, output that is read at the same time is in any order.
type capture struct {
	streams [2]*stream
	wake    int           // an event: end was called
	ended   chan struct{} // closed when both streams have reached their end
	done    chan struct{} // closed when nothing more is read
	lost    bool          // the output was not read to its end; valid after done
	last    atomic.Int64  // when reading must end, in Unix nanoseconds; 0: unknown
}

// newCapture creates the streams. The command's user, who may not be this program's, can reopen them, as a script
// does with /dev/stdout.
func newCapture(stdout, stderr io.Writer, user *syscall.Credential) (*capture, error) {
	c := &capture{
		wake: -1, ended: make(chan struct{}), done: make(chan struct{}),
		streams: [2]*stream{{r: -1, dst: stdout}, {r: -1, dst: stderr}},
	}
	for _, s := range c.streams {
		if err := s.open(user); err != nil {
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

// begin starts reading. The command may be started after it.
func (c *capture) begin() {
	ready := make(chan struct{})
	go c.read(ready)
	<-ready
}

// started closes this process's writing ends: the child has its own.
func (c *capture) started() {
	for _, s := range c.streams {
		_ = s.w.Close()
	}
}

// read reads both streams to their ends.
func (c *capture) read(ready chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	told, err := newOrder(c.streams[0].r, c.streams[1].r)
	if err == nil {
		defer told.close()
	}
	close(ready)
	for c.goesOn() {
		came := c.poll(told)
		if c.overdue(came) {
			c.lost = true
			return
		}
		c.pass(c.fill(told))
		if told == nil || !came || c.streams[0].full() || c.streams[1].full() {
			c.passAll() // no more signals will tell the order of what is left
		}
	}
	close(c.ended)
}

// goesOn reports whether there is, or may come, something to pass on.
func (c *capture) goesOn() bool {
	return !c.streams[0].over || !c.streams[1].over || c.waiting()
}

// waiting reports whether something was read but not passed on.
func (c *capture) waiting() bool { return len(c.streams[0].sizes)+len(c.streams[1].sizes) > 0 }

// poll waits for output or, if some was read already, for its signal; after end only for as long as reading may go
// on. It reports whether anything came.
func (c *capture) poll(told *order) (came bool) {
	wait, fds := -1, []unix.PollFd{told.polled()}
	for _, s := range c.streams {
		if !s.over {
			fds = append(fds, unix.PollFd{Fd: int32(s.r), Events: unix.POLLIN}) // #nosec G115 -- a descriptor
		}
	}
	switch {
	case c.waiting():
		wait = int(signalWait.Milliseconds())
	case c.last.Load() != 0:
		wait = int(drain.Milliseconds())
	default:
		fds = append(fds, unix.PollFd{Fd: int32(c.wake), Events: unix.POLLIN}) // #nosec G115 -- a descriptor
	}
	for {
		n, err := unix.Poll(fds, wait)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// overdue reports whether reading must end, which is only the case after end.
func (c *capture) overdue(came bool) bool {
	last := c.last.Load()
	return last != 0 && (!came && !c.waiting() || time.Now().UnixNano() > last)
}

// fill reads what is there, and returns the writes that were signalled. It repeats this while more signals come, so
// that the bytes of every signalled write have been read.
func (c *capture) fill(told *order) (writes []int) {
	for range mostFills {
		for _, s := range c.streams {
			s.fill()
		}
		more := told.next()
		if writes = append(writes, more...); len(more) == 0 {
			break
		}
	}
	return writes
}

// pass passes on the bytes of the given writes, each the index of its stream.
func (c *capture) pass(writes []int) {
	var later [2]int
	for _, i := range writes {
		later[i]++
	}
	for i, s := range c.streams {
		s.split(later[i])
	}
	for len(writes) > 0 {
		i, run := writes[0], 1
		for run < len(writes) && writes[run] == i {
			run++
		}
		writes = writes[run:]
		later[i] -= run
		c.streams[i].pass(packetsOf(c.streams[i].sizes, run, later[i]))
	}
}

// passAll passes on everything that was read.
func (c *capture) passAll() {
	for _, s := range c.streams {
		s.pass(len(s.sizes))
	}
}

// end says that the command has ended; all says that everything that could write has ended, too.
func (c *capture) end(all bool) {
	limit := drainLimit
	if all {
		limit = drainWhole
	}
	c.last.Store(time.Now().Add(limit).UnixNano())
	_, _ = unix.Write(c.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// finish waits, after end, until the output was read to its end or must be given up. It reports whether all of it was
// read.
func (c *capture) finish() (whole bool) {
	<-c.done
	c.close()
	return !c.lost
}

// close releases the resources; nothing may be reading.
func (c *capture) close() {
	for _, s := range c.streams {
		s.close()
	}
	if c.wake >= 0 {
		_ = unix.Close(c.wake)
	}
}
