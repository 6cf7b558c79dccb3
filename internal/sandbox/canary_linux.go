package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// layerCanary is the layer that the child reports if something forbidden could still be done.
const layerCanary = "canary"

// canary is an action that the rules forbid and that this process could do without them.
type canary struct {
	does string
	try  func() error
}

// canaries are the actions to try; the first two are possible for every process.
func (l landlockSetup) canaries(abstract unix.Sockaddr) []canary {
	parent := os.Getppid()
	all := []canary{
		{"read a file outside of its rules", func() error { return opens("/proc/self/status", unix.O_RDONLY) }},
		{"write to a file outside of its rules", func() error { return opens("/proc/self/comm", unix.O_WRONLY) }},
	}
	if l.ABI >= landlockFull {
		all = append(all,
			canary{"signal the process that started it", func() error { return unix.Kill(parent, 0) }},
			canary{"reach an abstract socket outside", func() error { return connects(abstract) }})
	}
	return all
}

// prove applies the rules with restrict, and tries before and after it what they forbid: each action must succeed
// before, and must be refused after. On failure it names the layer.
func (l landlockSetup) prove(restrict func() error) (layer string, err error) {
	socket, abstract, err := listens()
	if err != nil {
		return layerCanary, err
	}
	defer unix.Close(socket)
	var sing []canary
	for i, c := range l.canaries(abstract) {
		err := c.try()
		if err == nil {
			sing = append(sing, c)
		} else if i == 0 {
			return layerCanary,
				fmt.Errorf("it cannot %s before there are rules, which so proves nothing: %w", c.does, err)
		}
	}
	if err := restrict(); err != nil {
		return "landlock", err
	}
	for _, c := range sing {
		if err := c.try(); !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return layerCanary, fmt.Errorf("it may still %s (%v)", c.does, err) //nolint:errorlint // it may be nil
		}
	}
	return "", nil
}

func opens(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// listens opens an abstract socket, which is outside of the rules applied later.
func listens() (socket int, address unix.Sockaddr, err error) {
	if socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, nil, fmt.Errorf("make a socket: %w", err)
	}
	err = errors.Join(unix.Bind(socket, &unix.SockaddrUnix{}), unix.Listen(socket, 2)) // the kernel chooses the name
	if err == nil {
		address, err = unix.Getsockname(socket)
	}
	if err != nil {
		_ = unix.Close(socket)
		return -1, nil, fmt.Errorf("listen on a socket: %w", err)
	}
	return socket, address, nil
}

func connects(address unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, address)
}
