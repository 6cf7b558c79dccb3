package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// packet is the most that one read gives of a pipe that keeps writes apart: a longer write becomes
// several packets, all full but perhaps the last one.
var packet = os.Getpagesize()

// stream is one of the command's two. What was read of it waits in buf to be passed on.
type stream struct {
	r     int // descriptor
	w     *os.File
	dst   io.Writer
	over  bool // its end was read
	buf   []byte
	sizes []int // of the packets in buf
}

// open makes the pipe. It keeps writes apart, as long as they are done through w and not through what
// a script opens anew.
func (s *stream) open(user *syscall.Credential) error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	s.r, s.w = ends[0], os.NewFile(uintptr(ends[1]), "output")
	if err := unix.SetNonblock(s.r, true); err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(s.r), unix.F_SETPIPE_SZ, pipeWrites*packet) // a smaller one will do
	// No read may be shorter than what the pipe holds: of a packet that is cut the rest is lost.
	s.buf = make([]byte, 0, 2*pipeWrites*packet)
	if user == nil {
		return nil
	}
	if err := s.w.Chown(int(user.Uid), int(user.Gid)); err != nil {
		return fmt.Errorf("give pipe away: %w", err)
	}
	return nil
}

// fill reads what is there, as far as there is room for it.
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

// full reports whether nothing more is read before something was passed on.
func (s *stream) full() bool { return len(s.buf) > cap(s.buf)/2 }

// pass passes on the first packets that wait.
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

// split tells writes apart that came as fewer packets, as those do for which a script has opened the
// stream anew: where there are no more lines than writes, each line was one. (The stream's end is told
// of as a write, too.)
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

// packetsOf is how many of the packets that wait belong to the next writes, when of so many later
// ones it is known that they are there, too. A write is some full packets, one that is not, or both,
// so that not all is certain: each later write has at least one packet, each short packet ends a
// write, and programs seldom end on a full one.
func packetsOf(sizes []int, writes, later int) int {
	n := min(writes, len(sizes))
	full, short := fullAmong(sizes[:n]), len(sizes)-n-fullAmong(sizes[n:])
	// Packets beyond one for each write can only follow full ones.
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
		_ = s.w.Close() // it may be closed
	}
	if s.r >= 0 {
		_ = unix.Close(s.r)
	}
}
