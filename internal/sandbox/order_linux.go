package sandbox

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostReads bounds what is read of signals at once: pipes hold less writes than these tell of.
const mostReads = 16

// order tells in which order several pipes were written to: the kernel queues a signal for each
// write, which says whose it was. The thread that waits for them keeps them blocked, and reads them.
type order struct {
	signals int // the descriptor that they are read from
	pipes   []int
	before  unix.Sigset_t // of the thread
	queued  []unix.SignalfdSiginfo
}

// orderSignal is a real-time signal that nothing else here uses; of these the kernel queues all.
const orderSignal = unix.Signal(60)

// newOrder begins to listen to the reading ends of pipes, for the thread that calls it and that
// must stay the goroutine's own until close.
func newOrder(pipes ...int) (*order, error) {
	o := &order{pipes: pipes, queued: make([]unix.SignalfdSiginfo, 64)}
	var set unix.Sigset_t
	set.Val[0] = 1 << (orderSignal - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &o.before); err != nil {
		return nil, fmt.Errorf("block signal: %w", err)
	}
	var err error
	if o.signals, err = unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK); err != nil {
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &o.before, nil)
		return nil, fmt.Errorf("read signals: %w", err)
	}
	for _, pipe := range pipes {
		if err := listen(pipe); err != nil {
			o.close()
			return nil, err
		}
	}
	return o, nil
}

// listen lets each write to a pipe send a signal to this thread.
func listen(pipe int) error {
	owner := struct{ kind, id int32 }{0 /* F_OWNER_TID */, int32(unix.Gettid())}                                                   // #nosec G115 -- an id is small
	if _, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(pipe), unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner))); errno != 0 { // #nosec G103 -- the call takes an address
		return fmt.Errorf("own pipe: %w", errno)
	}
	if _, err := unix.FcntlInt(uintptr(pipe), unix.F_SETSIG, int(orderSignal)); err != nil {
		return fmt.Errorf("choose signal: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(pipe), unix.F_SETFL, unix.O_NONBLOCK|unix.O_ASYNC); err != nil {
		return fmt.Errorf("ask for signals: %w", err)
	}
	return nil
}

// next returns, for some of the writes that were not told of yet, which pipe each went to, as an
// index: the earliest first. Of a nil order none is known.
func (o *order) next() []int {
	if o == nil {
		return nil
	}
	size := int(unsafe.Sizeof(o.queued[0]))                                            // #nosec G103 -- a size
	records := unsafe.Slice((*byte)(unsafe.Pointer(&o.queued[0])), len(o.queued)*size) // #nosec G103 -- records as bytes
	var writes []int
	for range mostReads {
		n, err := unix.Read(o.signals, records)
		if err != nil {
			return writes
		}
		for _, signal := range o.queued[:n/size] {
			if i := slices.Index(o.pipes, int(signal.Fd)); i >= 0 {
				writes = append(writes, i)
			}
		}
	}
	return writes
}

// polled is what to wait for to hear of a write.
func (o *order) polled() unix.PollFd {
	if o == nil {
		return unix.PollFd{Fd: -1}
	}
	return unix.PollFd{Fd: int32(o.signals), Events: unix.POLLIN} // #nosec G115 -- a descriptor
}

// close ends the listening; it must be called by the same thread.
func (o *order) close() {
	for _, pipe := range o.pipes {
		_, _ = unix.FcntlInt(uintptr(pipe), unix.F_SETFL, unix.O_NONBLOCK)
	}
	for o.next() != nil { // none is left for the program
	}
	_ = unix.Close(o.signals)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &o.before, nil)
}
