// Package fnhost runs a function's binary as OCI Functions does: over the socket that
// FN_LISTENER names, with the platform's environment, call ids and deadlines, one call
// at a time per instance, and SIGKILL past the timeout. Instances are started when they
// are needed and stay warm; one that fails a call is replaced.
//
// It does not confine the function beyond a process of its own: an instance has its own folders and, when the host
// runs as root, an unprivileged user, which instances may share. Its /tmp is the folder that TMPDIR names, because
// instances share the machine. With Config.Init it is closed in as in a container, where it can be. No process of an
// instance outlives it, and no instance the host.
package fnhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// The failures of an invocation; the caller decides how to report them.
var (
	// ErrTimeout: the function was killed because its time had ended.
	ErrTimeout = errors.New("function timed out")
	// ErrFailed: the function dropped the call or died.
	ErrFailed = errors.New("function failed")
	// ErrStart: the function was not ready in time, or could not be started.
	ErrStart = errors.New("function did not start")
	// ErrBusy: no instance became free while the caller waited.
	ErrBusy = errors.New("no instance is free")
	// ErrClosed: the host was closed.
	ErrClosed = errors.New("function host is closed")
)

// Limits of the platform.
const (
	startLimit  = 5 * time.Second
	maxAnswer   = 6 << 20
	maxSettings = 4 << 10 // configuration, keys and values together
)

// FirstUser is the first of the users of instances when the host runs as root, from a range set aside for dynamically
// created users.
const FirstUser = 61184

// Config says what to run and how. Fields are required unless noted.
type Config struct {
	Binary    string
	Instances int
	MemoryMB  int           // told to the function; not enforced here
	Timeout   time.Duration // of one call
	Detached  time.Duration // of a detached one; 0: the same
	Settings  map[string]string
	// SharedUser: when the host runs as root, all instances run as one user, as the containers of a Fn server do;
	// otherwise each has a user of its own.
	SharedUser bool
	// FirstUser is the user of the first instance, or of all, when the host runs as root, and those that follow are the
	// users of the others. Optional: FirstUser.
	FirstUser int
	// Init: an instance is below an init of the function's user, which lives as long as the instance. Where the host
	// runs as root the two are closed in as in a container of OCI's: they see no other process, and can write to a /tmp
	// and a /dev/shm of their own and to nothing else. A program that uses it must begin with Dispatch.
	Init bool
	// Under goes before the command of an init, optional: tests pretend another kernel.
	Under []string
	// Late, if not nil, gives settings that are known only when an instance starts.
	Late func() map[string]string
	// The ids in the function's environment.
	FunctionID, FunctionName, AppID, AppName, Region string
	// Credentials returns the function's resource principal; it is called again ten minutes before they end.
	// Optional.
	Credentials func() (Credentials, error)
	// Log receives what the function writes to stdout and stderr, in whole lines.
	Log io.Writer
	// Wrap, if not nil, returns the command that runs the binary of an instance with the folder dir, instead of an
	// init, too: tests put the process into a control group or mount its /tmp.
	Wrap func(dir, binary string) []string
}

// Credentials are a resource principal of version 2.2.
type Credentials struct {
	Token      string
	PrivateKey []byte // PEM
	Expires    time.Time
}

// Call is one invocation.
type Call struct {
	Body     []byte
	Header   http.Header // of the client, passed on; the platform's own win
	Detached bool        // the caller does not wait for the answer
}

// Answer is what the function answered.
type Answer struct {
	CallID   string
	Header   http.Header
	Body     []byte
	Duration time.Duration
}

// Host runs the instances of one function.
type Host struct {
	config  Config
	dir     string
	remove  func() error // removes dir
	alive   *os.File     // is at its end when this process is
	living  *os.File     // the other end
	binary  string
	log     *lineWriter
	ctx     context.Context
	close   context.CancelFunc
	calls   sync.WaitGroup
	warm    chan *instance // free instances with a process
	cold    chan *instance // free instances without a process
	mu      sync.Mutex
	session Credentials
}

// running are the processes of functions, of all hosts in this program: whatever else is its child is a stray.
var running struct {
	sync.Mutex // held while a function starts, and while strays are ended
	pids       map[int]bool
}

func (c Config) check() error {
	size := 0
	for key, value := range c.Settings {
		size += len(key) + len(value)
	}
	switch {
	case size > maxSettings:
		return fmt.Errorf("the configuration has %d bytes; a function may have %d", size, maxSettings)
	case c.Instances < 1:
		return errors.New("at least one instance is needed")
	case c.Timeout < time.Second:
		return errors.New("the timeout must be at least a second")
	}
	return nil
}

// Invoke calls the function. It waits for a free instance until ctx ends; a call that has begun runs to its end even
// if its caller has gone.
func (h *Host) Invoke(ctx context.Context, call Call) (Answer, error) {
	if !h.begin() {
		return Answer{}, ErrClosed
	}
	defer h.calls.Done()
	i, err := h.take(ctx)
	if err != nil {
		return Answer{}, err
	}
	answer, err := i.call(h.ctx, call)
	if err != nil {
		i.kill()
		h.cold <- i
		return answer, err
	}
	h.warm <- i
	return answer, nil
}

// begin counts a call that Close has to wait for; false if the host is closed.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return false
	}
	h.calls.Add(1)
	return true
}

// take waits for a free instance, a warm one if there is any.
func (h *Host) take(ctx context.Context) (*instance, error) {
	select {
	case i := <-h.warm:
		return i, nil
	default:
	}
	select {
	case i := <-h.warm:
		return i, nil
	case i := <-h.cold:
		return i, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	case <-h.ctx.Done():
		return nil, ErrClosed
	}
}

// credentials returns the principal, renewing it in time.
func (h *Host) credentials(now time.Time) (Credentials, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	const margin = 10 * time.Minute
	if h.session.Token == "" || now.After(h.session.Expires.Add(-margin)) {
		fresh, err := h.config.Credentials()
		if err != nil {
			return Credentials{}, fmt.Errorf("issue credentials: %w", err)
		}
		h.session = fresh
	}
	return h.session, nil
}

// lineWriter writes whole lines, so that the lines of several instances do not mix.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) line(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(text, '\n')) // a log that cannot be written must not stop the function
}
