// Package localoci is the part of OCI that the function uses, on loopback: the native REST interfaces of its
// services. This package puts the services together: a Server is what people start. Every request goes through
// internal/localoci/gateway, which passes it to one of the services, each a package below: objectstorage (which
// stores in buckets), events, functions, notifications, vault, logging, and admin, which OCI does not have.
//
// It is as strict as OCI, so that what works here works there: every request must be signed by a known key, at most
// five minutes ago or ahead, or be pre-authenticated, and a function may do only what its policy allows. Where the
// documentation leaves OCI's behaviour open, this is the stricter one. Errors have OCI's bodies and codes, and every
// answer has an opc-request-id.
//
// All state is in one folder. An acknowledged write survives killing the process at any moment; an event is delivered
// at least once, also over a restart. Objects are streamed, never held in memory, and names are stored as given and
// never used as paths.
package localoci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/admin"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/events"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/functions"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/logging"
	"cemli-executor/internal/localoci/notifications"
	"cemli-executor/internal/localoci/tenancy"
	"cemli-executor/internal/localoci/vault"
	"cemli-executor/internal/problem"
)

// Config configures a Server. All fields are required unless noted.
type Config struct {
	Dir string // holds all state; created if needed
	// Buckets are created at the first start; the function's policy is about them.
	Buckets Buckets
	// Versioned makes new buckets keep versions, except the results bucket. Existing buckets stay as they are.
	Versioned bool
	// Statements are the policy of the function's principal; nil: those that Terraform deploys.
	Statements []string
	// Rule is the condition, in OCI's language, for events of objects to be delivered to the function; empty: the one
	// that Terraform deploys.
	Rule string
	// Invoke runs the function. Its error may be an *InvokeError.
	Invoke func(context.Context, Invocation) (Answer, error)
	// Runner runs the second function, which runs the steps of packages and may do nothing in the tenancy; nil: there
	// is none. Its error may be an *InvokeError.
	Runner func(context.Context, Invocation) (Answer, error)
	// Observe, if not nil, is called for everything that happens. It must not block.
	Observe func(Activity)
	Log     *slog.Logger
	Now     func() time.Time // optional clock
}

// Buckets are the names of the function's buckets. Policies, which the function only reads, may be empty, and so may
// Jobs, where the mailboxes of the runner's jobs are.
type Buckets struct{ Packages, Results, State, Policies, Jobs string }

// Activity is one event, for people to watch.
type Activity struct {
	Time   time.Time
	Kind   string // upload, event, invocation
	Detail string
	Err    error // of an invocation that failed
}

// Server is a local OCI.
type Server struct {
	config Config

	authority *tenancy.Authority
	faults    faults.Box
	policy    atomic.Pointer[iam.Policy]
	db        *bolt.DB // the index of all services

	buckets       *buckets.Store
	events        *events.Queue
	functions     *functions.Service
	notifications *notifications.Service
	vault         *vault.Vault
	logging       *logging.Service
	admin         *admin.Service
	gateway       *gateway.Gateway

	http     *http.Server // nil until Start
	listener net.Listener
	ctx      context.Context // ends with the server
	stop     context.CancelFunc
}

// Start listens on 127.0.0.1 and delivers events. Port 0 stands for any free one.
func (s *Server) Start(port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return problem.New(problem.Problem{
			Code: "config.port", Message: fmt.Sprintf("port %d cannot be used", port),
			Hint: "use --port 0 for any free one",
		}, err)
	}
	s.listener = listener
	if err := s.admin.Announce(s.Endpoint()); err != nil {
		return errors.Join(dirError(s.config.Dir, err), listener.Close())
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	go s.http.Serve(listener) //nolint:errcheck // it ends with Close
	s.events.Start(s.ctx)
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.gateway.ServeHTTP(w, r) }

// Endpoint is the base URL of all services.
func (s *Server) Endpoint() string { return "http://" + s.listener.Addr().String() }

// drainTime is how long Close waits for requests in progress.
const drainTime = 2 * time.Second

// Close lets requests in progress finish, within seconds, and ends everything. Accepted events stay for the next
// start.
func (s *Server) Close() error {
	var failed error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		_ = s.http.Shutdown(ctx) // what is left is cut off
		cancel()
	}
	s.stop()
	s.events.Wait()
	s.functions.Close()
	if s.http != nil {
		failed = s.http.Close()
		s.admin.Withdraw()
	}
	return errors.Join(failed, s.db.Close())
}

// now is the services' clock, which may be wrong on purpose.
func (s *Server) now() time.Time { return s.config.Now().Add(time.Duration(s.faults.Get().ClockSkew)) }

// observe reports what has happened to people who watch.
func (s *Server) observe(kind, detail string, err error) {
	if s.config.Observe != nil {
		s.config.Observe(Activity{Time: s.now(), Kind: kind, Detail: detail, Err: err})
	}
}

// observeInvocation reports the end of an invocation, and of which function unless it is the executor.
func (s *Server) observeInvocation(called, callID string, err error) {
	if called != faults.Executor {
		callID = called + " " + callID
	}
	s.observe("invocation", callID, err)
}

func dirError(dir string, err error) error {
	p := problem.Problem{
		Code: "config.local_dir", Where: dir, Message: "the folder cannot hold the state of a local OCI",
		Hint: "use a folder that you may write to; if its contents are damaged, delete them",
	}
	if errors.Is(err, index.ErrInUse) {
		p.Message = "another local OCI has the folder open"
		p.Hint = "end that one, or use a folder that no other local OCI has open"
	}
	return problem.New(p, err)
}
