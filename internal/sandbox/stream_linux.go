package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// packet is the most that one read returns from a pipe in packet mode. A longer write becomes several packets, all
// full except perhaps the last.
var packet = os.Getpagesize()

// stream is one of the command's two output streams. buf holds what was read and not yet passed on.
type stream struct {
	r     int // descriptor
	w     *os.File
	dst   io.Writer
	over  bool // the end was read
	buf   []byte
	sizes []int // the sizes of the packets in buf
}

// open creates the pipe in packet mode, which keeps writes apart, unless a script reopens the stream and writes
// through that.
func (s *stream) open(user *syscall.Credential) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	s.r, s.w = ends[0], os.NewFile(uintptr(ends[1]), "output")
	if err := unix.SetNonblock(s.r, true); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(s.r), unix.F_SETPIPE_SZ, pipeWrites*packet) // a smaller pipe will do
	// A read must have room for all that the pipe holds, because the rest of a packet that does not fit is lost.
	s.buf = make([]byte, 0, 2*pipeWrites*packet)
	if user == nil {
		return nil
	}
	if err := s.w.Chown(int(user.Uid), int(user.Gid)); err != nil {
		return fmt.Errorf("give pipe away: %w", err)
	}
	return nil
}

// fill reads what is there, as far as it fits.
func (s *stream) fill() {
	for !s.over && !s.full() {
		n, err := unix.Read(s.r, s.buf[len(s.buf):cap(s.buf)])
		s.over = n == 0 && err == nil
		if n <= 0 {
			return
		}
		s.buf, s.sizes = s.buf[:len(s.buf)+n], append(s.sizes, n)
	}
}

// full reports whether something must be passed on before more can be read.
func (s *stream) full() bool { return len(s.buf) > cap(s.buf)/2 }

// pass passes on the first packets of buf.
func (s *stream) pass(packets int) {
	end := 0
	for _, size := range s.sizes[:packets] {
		end += size
	}
	if end > 0 {
		_, _ = s.dst.Write(s.buf[:end]) // a full log must not block the child
	}
	s.buf = append(s.buf[:0], s.buf[end:]...)
	s.sizes = append(s.sizes[:0], s.sizes[packets:]...)
}

// split separates writes that arrived as fewer packets, as they do if a script has reopened the stream: if there are
// no more lines than writes, each line was one write. (The end of the stream is signalled like a write.)
func (s *stream) split(writes int) {
	lines := bytes.Count(s.buf, []byte("\n"))
	if lines <= len(s.sizes) || lines > writes || !bytes.HasSuffix(s.buf, []byte("\n")) {
		return
	}
	s.sizes = s.sizes[:0]
	for line := range bytes.Lines(s.buf) {
		s.sizes = append(s.sizes, len(line))
	}
}

// packetsOf is how many of the packets in buf belong to the next writes, given how many later writes are in buf as
// well. A write consists of full packets, one that is not full, or both, so this is not always certain. It relies on
// this: each later write has at least one packet, a short packet ends a write, and programs seldom end a write with a
// full packet.
func packetsOf(sizes []int, writes, later int) int {
	n := min(writes, len(sizes))
	full, short := fullAmong(sizes[:n]), len(sizes)-n-fullAmong(sizes[n:])
	// More packets than one for each write can only follow full ones.
	for n < len(sizes)-later && n-writes < full && (sizes[n-1] == packet || short > later) {
		if sizes[n] == packet {
			full++
		} else {
			short--
		}
		n++
	}
	return n
}

func fullAmong(sizes []int) (n int) {
	for _, size := range sizes {
		if size == packet {
			n++
		}
	}
	return n
}

func (s *stream) close() {
	if s.w != nil {
		_ = s.w.Close() // it may be closed already
	}
	if s.r >= 0 {
		_ = unix.Close(s.r)
	}
}
