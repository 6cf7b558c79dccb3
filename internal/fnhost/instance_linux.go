package fnhost

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// instance corresponds to one container of the function: folders, a user, and, while it is warm, a process. It serves
// one call at a time.
type instance struct {
	host    *Host
	dir     string
	user    *syscall.Credential // nil: the host's own
	process *process
	token   string // whose credentials are in the folder
}

// process is a running function.
type process struct {
	pid    int
	ended  chan struct{} // closed when the process has ended
	client *http.Client
	last   *tail         // the last output
	told   chan struct{} // closed when all output has been read
}

func newInstance(h *Host, n int) *instance {
	i := &instance{host: h, dir: filepath.Join(h.dir, strconv.Itoa(n))}
	if os.Geteuid() == 0 {
		if h.config.SharedUser {
			n = 0
		}
		id := uint32(cmp.Or(h.config.FirstUser, FirstUser) + n) // #nosec G115 -- small
		i.user = &syscall.Credential{Uid: id, Gid: id}
	}
	return i
}

func (i *instance) socket() string { return filepath.Join(i.dir, "iofs", "lsnr.sock") }

// call passes one call to the process, and starts it if needed.
func (i *instance) call(ctx context.Context, call Call) (Answer, error) {
	if err := i.renew(); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrStart, err)
	}
	if err := i.start(ctx); err != nil {
		return Answer{}, err
	}
	start := time.Now()
	limit := i.host.config.Timeout
	if call.Detached && i.host.config.Detached > 0 {
		limit = i.host.config.Detached
	}
	deadline := start.Add(limit)
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, ErrTimeout)
	defer cancel()
	answer := Answer{CallID: strings.ToUpper(strings.ReplaceAll(uuid.NewString(), "-", ""))}
	resp, err := i.process.client.Do(i.request(ctx, call, answer.CallID, deadline))
	if err == nil {
		defer resp.Body.Close()
		answer.Header = resp.Header
		answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	}
	answer.Duration = time.Since(start)
	switch {
	case errors.Is(context.Cause(ctx), ErrTimeout):
		return answer, ErrTimeout
	case err != nil:
		return answer, fmt.Errorf("%w: %w", ErrFailed, err)
	case resp.StatusCode != http.StatusOK:
		return answer, fmt.Errorf("%w: it answered status %d", ErrFailed, resp.StatusCode)
	case len(answer.Body) > maxAnswer:
		return answer, fmt.Errorf("%w: its answer is over %d bytes", ErrFailed, maxAnswer)
	}
	if resp.Close { // it ends: the next call is another process's
		select {
		case <-i.process.ended:
		case <-time.After(leaveLimit):
		}
	}
	return answer, nil
}

// leaveLimit is how long a function may take to end that says with its answer that it does.
const leaveLimit = 5 * time.Second

// request is the platform's request to the function. The deadline is in whole seconds,
// up to one too early.
func (i *instance) request(ctx context.Context, call Call, id string, deadline time.Time) *http.Request {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/call", bytes.NewReader(call.Body))
	if err != nil {
		panic(err) // the URL is a constant
	}
	for name, values := range call.Header {
		r.Header[name] = values
	}
	for name, value := range map[string]string{
		"Fn-Call-Id": id, "Fn-Deadline": deadline.UTC().Truncate(time.Second).Format(time.RFC3339),
		"Fn-Invoke-Type": "sync",
	} {
		r.Header.Set(name, value)
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// start starts the process and waits until its socket answers, unless it runs.
func (i *instance) start(ctx context.Context) error {
	if i.process != nil {
		select {
		case <-i.process.ended:
			i.kill() // an idle process has died
		default:
			return nil
		}
	}
	if err := i.furnish(); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	p, err := i.spawn()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	i.process = p
	return i.ready(ctx)
}

// furnish creates the folders again: a cold instance has an empty /tmp.
func (i *instance) furnish() error {
	if err := os.RemoveAll(i.dir); err != nil {
		return err
	}
	i.token = ""
	for _, dir := range []string{i.dir, filepath.Join(i.dir, "iofs"), filepath.Join(i.dir, "tmp"), i.secrets()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := i.own(dir); err != nil {
			return err
		}
	}
	return i.renew()
}

func (i *instance) secrets() string { return filepath.Join(i.dir, "credentials") }

// own makes the instance's user the owner of a path.
func (i *instance) own(path string) error {
	if i.user == nil {
		return nil
	}
	return os.Chown(path, int(i.user.Uid), int(i.user.Gid))
}

// renew writes the credentials if they have changed: the key before the token, because a reader that sees only the
// first must not use it.
func (i *instance) renew() error {
	if i.host.config.Credentials == nil {
		return nil
	}
	session, err := i.host.credentials(time.Now())
	if err != nil || session.Token == i.token {
		return err
	}
	if _, err := os.Stat(i.secrets()); err != nil {
		return nil // cold; furnish calls again
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{"private.pem", session.PrivateKey}, {"rpst", []byte(session.Token)}} {
		path := filepath.Join(i.secrets(), file.name)
		err := errors.Join(os.WriteFile(path+".new", file.data, 0o400), i.own(path+".new"),
			os.Rename(path+".new", path))
		if err != nil {
			return err
		}
	}
	i.token = session.Token
	return nil
}

// environment is the function's whole environment.
func (i *instance) environment() []string {
	c := i.host.config
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/home/fn",
		"TMPDIR":   filepath.Join(i.dir, "tmp"),
		"FN_FN_ID": c.FunctionID, "FN_FN_NAME": c.FunctionName, "FN_APP_ID": c.AppID, "FN_APP_NAME": c.AppName,
		"FN_MEMORY": strconv.Itoa(c.MemoryMB), "FN_TYPE": "sync", "FN_FORMAT": "http-stream",
		"FN_LISTENER":      "unix:" + i.socket(),
		"FN_LOGFRAME_NAME": "FN_LOGFRAME", "FN_LOGFRAME_HDR": "Fn-Call-Id", "OCI_TRACING_ENABLED": "0",
		"OCI_REGION_METADATA": `{"realmDomainComponent":"oraclecloud.com","realmKey":"oc1","regionIdentifier":"` +
			c.Region + `","regionKey":"PHX"}`,
	}
	if c.Init && c.Wrap == nil && i.user != nil {
		delete(env, "TMPDIR") // /tmp is its own
	}
	if c.Credentials != nil {
		env["OCI_RESOURCE_PRINCIPAL_VERSION"] = "2.2"
		env["OCI_RESOURCE_PRINCIPAL_REGION"] = c.Region
		env["OCI_RESOURCE_PRINCIPAL_RPST"] = filepath.Join(i.secrets(), "rpst")
		env["OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"] = filepath.Join(i.secrets(), "private.pem")
	}
	maps.Copy(env, c.Settings)
	if c.Late != nil {
		maps.Copy(env, c.Late())
	}
	var list []string
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	return list
}

// command is how the process is started.
func (i *instance) command() *exec.Cmd {
	cmd := &exec.Cmd{
		Args: []string{i.host.binary}, Dir: filepath.Join(i.dir, "tmp"), Env: i.environment(),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: i.user},
	}
	switch {
	case i.host.config.Wrap != nil:
		cmd.Args = i.host.config.Wrap(i.dir, i.host.binary)
		cmd.SysProcAttr.Credential = nil // the wrapper changes the user itself, if it must
	case i.host.config.Init:
		cmd.Args, cmd.SysProcAttr = i.initCommand()
	}
	cmd.Path = cmd.Args[0]
	return cmd
}

// spawn starts the process on a thread that lives as long as the process does: the kernel kills the process when that
// thread ends, and so also when this process ends.
func (i *instance) spawn() (*process, error) {
	cmd := i.command()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if i.host.config.Init {
		cmd.ExtraFiles = []*os.File{i.host.alive}
	}
	p := &process{ended: make(chan struct{}), last: &tail{}, told: make(chan struct{}), client: i.client()}
	running.Lock() // until it is known as one that lives
	defer running.Unlock()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the next call shows how it ended
			close(p.ended)
		}
	}()
	err = <-started
	_ = w.Close() // the child has its own
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	if running.pids == nil {
		running.pids = map[int]bool{}
	}
	running.pids[p.pid] = true
	go func() {
		defer close(p.told)
		i.host.copyLog(r, p.last)
	}()
	return p, nil
}

func (i *instance) client() *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", i.socket())
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}}
}

// ready waits until the socket accepts a connection.
func (i *instance) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", i.socket())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-i.process.ended:
			select { // what it said last may still be on its way
			case <-i.process.told:
			case <-ctx.Done(): // something that it has left behind holds its output
			}
			return fmt.Errorf("%w: it ended at once: %s", ErrStart, i.process.last)
		case <-ctx.Done():
			return fmt.Errorf("%w: its socket was not there after %s: %s", ErrStart, startLimit, i.process.last)
		case <-time.After(wait):
		}
	}
}

// kill ends the process and everything that it started.
func (i *instance) kill() {
	if i.process == nil {
		return
	}
	_ = syscall.Kill(-i.process.pid, syscall.SIGKILL) // it may have ended
	<-i.process.ended
	running.Lock()
	delete(running.pids, i.process.pid)
	running.Unlock()
	i.host.sweep()
	i.process.client.CloseIdleConnections()
	i.process = nil
}

// maxLine bounds a line of a function's output.
const maxLine = 64 << 10

// copyLog passes on what a function prints, line by line.
func (h *Host) copyLog(r *os.File, last *tail) {
	defer r.Close()
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			last.add(line)
			h.log.line(append([]byte(nil), line...))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
