package sandbox

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostReads bounds how many reads of signals are done at once; they cover more writes than pipes can hold.
const mostReads = 16

// order tells in which order several pipes were written to: the kernel queues a signal for each write that names the
// pipe. The thread that waits for the signals blocks them, and reads them from a descriptor.
type order struct {
	signals int // the descriptor from which they are read
	pipes   []int
	before  unix.Sigset_t // the thread's signal mask from before
	queued  []unix.SignalfdSiginfo
}

// orderSignal is a real-time signal that nothing else here uses; the kernel queues each of these.
const orderSignal = unix.Signal(60)

// newOrder begins to listen to the reading ends of pipes. The calling goroutine must stay locked to its thread until
// close.
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

// listen makes each write to a pipe send a signal to this thread.
func listen(pipe int) error {
	owner := struct{ kind, id int32 }{
		0 /* F_OWNER_TID */, int32(unix.Gettid()),
	} // #nosec G115 -- an id is small
	if _, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(pipe), unix.F_SETOWN_EX,
		uintptr(unsafe.Pointer(&owner))); errno != 0 { // #nosec G103 -- the call takes an address
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

// next returns the pipes, as indexes, that the next writes went to, in order; nil if there is no news, or o is nil.
func (o *order) next() []int {
	if o == nil {
		return nil
	}
	size := int(unsafe.Sizeof(o.queued[0])) // #nosec G103 -- a size
	records := unsafe.Slice((*byte)(unsafe.Pointer(&o.queued[0])),
		len(o.queued)*size) // #nosec G103 -- records as bytes
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

// polled is what to poll for to notice a write.
func (o *order) polled() unix.PollFd {
	if o == nil {
		return unix.PollFd{Fd: -1}
	}
	return unix.PollFd{Fd: int32(o.signals), Events: unix.POLLIN} // #nosec G115 -- a descriptor
}

// close stops listening; the same thread must call it.
func (o *order) close() {
	for _, pipe := range o.pipes {
		_, _ = unix.FcntlInt(uintptr(pipe), unix.F_SETFL, unix.O_NONBLOCK)
	}
	for o.next() != nil { // drop what is queued
	}
	_ = unix.Close(o.signals)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &o.before, nil)
}
