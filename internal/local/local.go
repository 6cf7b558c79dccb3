// Package local is a local OCI with the function in it: an upload to the packages bucket makes an event, the event
// invokes the real function binary, and the function writes to the results bucket, all over the interfaces of OCI.
//
// With a Runner there is a second function of the same binary, below an init of its user, which gets the steps.
package local

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"time"

	"cemli-executor/internal/fnhost"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
)

// The buckets of a local OCI.
var buckets = localoci.Buckets{
	Packages: "cemli-packages", Results: "cemli-results", State: "cemli-state", Policies: "cemli-policies",
	Jobs: "cemli-jobs",
}

// detachedTime is how long a detached invocation may take, as OCI allows.
const detachedTime = time.Hour

// sessionTime is how long the function's credentials last, as on OCI.
const sessionTime = time.Hour

// Options say what to start. Fields are required unless noted.
type Options struct {
	Dir       string // state
	Port      int    // 0: any free one
	Binary    string // of the function
	Instances int
	MemoryMB  int
	Timeout   time.Duration
	Detached  time.Duration     // of calls that nobody waits for; 0: an hour
	Sweep     time.Duration     // between scheduled sweeps; 0: there are none
	SharedUID bool              // all instances run as one user
	Settings  map[string]string // configuration of the function, optional
	Faults    localoci.Faults   // in force from the start
	// Unversioned buckets, in a new folder, keep no versions, unlike those that Terraform makes.
	Unversioned bool
	// Statements replace the function's policy; nil: the one that Terraform deploys.
	Statements []string
	// FunctionLog receives what the function writes.
	FunctionLog io.Writer
	Runner      *Runner // runs the steps; nil: the function does
	Log         *slog.Logger
	Observe     func(localoci.Activity)           // optional
	Answered    func(fnhost.Answer, error)        // optional: the end of every invocation
	Wrap        func(dir, binary string) []string // optional, see fnhost.Config
}

// Stack is a running local OCI.
type Stack struct {
	server *localoci.Server
	host   *fnhost.Host
	runner *fnhost.Host       // nil: there is none
	stop   context.CancelFunc // stops the schedule
	swept  chan struct{}      // closed when the schedule has ended
}

// Start starts the services, then the function's host.
func Start(o Options) (*Stack, error) {
	s := &Stack{stop: func() {}, swept: make(chan struct{})}
	config := localoci.Config{
		Dir: o.Dir, Buckets: buckets, Versioned: !o.Unversioned, Statements: o.Statements, Log: o.Log,
		Observe: o.Observe, Invoke: invoke(&s.host, o.Answered),
	}
	if o.Runner != nil {
		config.Runner = invoke(&s.runner, o.Runner.Answered)
	}
	var err error
	if s.server, err = localoci.Open(config); err != nil {
		return nil, err
	}
	err = s.server.SetFaults(o.Faults)
	if err == nil {
		err = s.openHosts(o)
	}
	if err == nil {
		err = s.server.Start(o.Port)
	}
	if err != nil {
		close(s.swept)
		return nil, errors.Join(err, s.Close())
	}
	s.schedule(o)
	return s, nil
}

// invoke is how the services call the function of a host.
func invoke(
	host **fnhost.Host, answered func(fnhost.Answer, error),
) func(context.Context, localoci.Invocation) (localoci.Answer, error) {
	return func(ctx context.Context, call localoci.Invocation) (localoci.Answer, error) {
		answer, err := (*host).Invoke(ctx, fnhost.Call{Body: call.Body, Header: call.Header, Detached: call.Detached})
		if answered != nil {
			answered(answer, err)
		}
		return localoci.Answer{CallID: answer.CallID, Header: answer.Header, Body: answer.Body}, asInvokeError(err)
	}
}

// openHosts prepares the functions' hosts.
func (s *Stack) openHosts(o Options) (err error) {
	if s.host, err = fnhost.New(s.functionConfig(o)); err == nil && o.Runner != nil {
		s.runner, err = fnhost.New(s.runnerConfig(o))
	}
	return err
}

// schedule has the function sweep regularly, as Resource Scheduler does. If a sweep finds no free instance, or fails,
// the next one makes up for it.
func (s *Stack) schedule(o Options) {
	if o.Sweep <= 0 {
		close(s.swept)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.swept)
		tick := time.NewTicker(o.Sweep)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_, err := s.host.Invoke(ctx, fnhost.Call{Body: []byte(`{"action":"sweep"}`)})
			if err != nil && ctx.Err() == nil && !errors.Is(err, fnhost.ErrBusy) {
				o.Log.Warn("the sweep failed", "error", err.Error())
			}
		}
	}()
}

// functionConfig says how the function is run.
func (s *Stack) functionConfig(o Options) fnhost.Config {
	settings := localoci.Settings(buckets, o.Runner != nil)
	maps.Copy(settings, o.Settings)
	return fnhost.Config{
		Binary: o.Binary, Instances: o.Instances, MemoryMB: o.MemoryMB, Timeout: o.Timeout,
		Detached: cmp.Or(o.Detached, detachedTime), Settings: settings,
		FunctionID: localoci.FunctionID, FunctionName: "cemli-executor", AppID: localoci.AppID, AppName: "cemli",
		Region: localoci.Region,
		Log:    o.FunctionLog, Wrap: o.Wrap, SharedUser: o.SharedUID,
		Credentials: credentials(s.server.Authority().NewSession),
		Late:        s.late,
	}
}

// late are settings that are known when the services have started.
func (s *Stack) late() map[string]string {
	return map[string]string{"CEMLI_ENDPOINT": s.server.Endpoint()}
}

// credentials issues a function's credentials.
func credentials(session func(now, expires time.Time) (localoci.Session, error)) func() (fnhost.Credentials, error) {
	return func() (fnhost.Credentials, error) {
		now := time.Now()
		issued, err := session(now, now.Add(sessionTime))
		return fnhost.Credentials{
			Token: issued.Token, PrivateKey: issued.PrivateKey, Expires: now.Add(sessionTime),
		}, err
	}
}

// asInvokeError is what OCI answers to the caller of a failed invocation.
func asInvokeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fnhost.ErrTimeout):
		return &localoci.InvokeError{
			Status: http.StatusGatewayTimeout, Code: "FunctionInvokeExecutionTimeout",
			Message: "Function execution timed out",
		}
	case errors.Is(err, fnhost.ErrBusy):
		return &localoci.InvokeError{
			Status: http.StatusTooManyRequests, Code: "TooManyRequests", Message: "Too many concurrent invocations",
		}
	case errors.Is(err, fnhost.ErrStart):
		return &localoci.InvokeError{
			Status: http.StatusBadGateway, Code: "FunctionInvokeContainerInitFail",
			Message: "Container failed to initialize: " + err.Error(),
		}
	}
	return &localoci.InvokeError{
		Status: http.StatusBadGateway, Code: "FunctionInvokeExecutionFailed", Message: "function failed",
	}
}

// Endpoint is the base URL of all services.
func (s *Stack) Endpoint() string { return s.server.Endpoint() }

// ConfigFile is the OCI configuration file of a person who may do everything.
func (s *Stack) ConfigFile() string { return s.server.Authority().ConfigFile() }

// Person is a client with that configuration.
func (s *Stack) Person() *oci.Client {
	return oci.ConfigFile(s.ConfigFile(), "DEFAULT", oci.Options{Endpoint: s.Endpoint()})
}

// Server is the services' own side: secrets, messages, faults.
func (s *Stack) Server() *localoci.Server { return s.server }

// Buckets are the function's.
func (s *Stack) Buckets() localoci.Buckets { return buckets }

// Close ends everything. Events that were not delivered are kept for the next start.
func (s *Stack) Close() error {
	s.stop()
	<-s.swept
	var failed []error
	for _, host := range []*fnhost.Host{s.host, s.runner} {
		if host != nil {
			failed = append(failed, host.Close())
		}
	}
	return errors.Join(append(failed, s.server.Close())...)
}
