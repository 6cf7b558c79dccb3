package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interruptible returns a context that ends with the first signal that asks the program to end: then a run is stopped,
// and its evidence written. A second signal that a person sends ends the program at once. A terminal that hangs up
// sends several, which do not.
func interruptible() (ctx context.Context, end context.CancelFunc) {
	ctx, end = context.WithCancel(context.Background())
	asked := make(chan os.Signal, 2)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-asked
		signal.Stop(asked)
		end()
	}()
	endWithHangUp(end)
	// As the signal is received here it does not end the program: the write that caused it fails.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, end
}

// endWithHangUp calls end when the terminal hangs up, unless nohup makes the program ignore that.
func endWithHangUp(end context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return
	}
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	go func() {
		<-hangUps
		end()
	}()
}

// pipe is a standard stream whose reader may go away, as head does.
type pipe struct {
	file *os.File
	gone func() // called once, when the reader is gone
	once sync.Once
}

// newPipe makes a stream of a file that calls gone when its reader is gone.
func newPipe(file *os.File, gone func()) *pipe { return &pipe{file: file, gone: gone} }

// Write writes to the file.
func (p *pipe) Write(data []byte) (int, error) {
	n, err := p.file.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		p.once.Do(p.gone)
	}
	return n, err
}

// Fd is the file's descriptor.
func (p *pipe) Fd() uintptr { return p.file.Fd() }
