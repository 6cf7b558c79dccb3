// Package localoci is the slice of OCI that the function uses, on loopback: the native
// REST interfaces of Object Storage and of Functions invoke, and events of buckets and secrets.
//
// It is as strict as OCI, so that what works here works there: every request must be
// signed by a key it knows, no more than five minutes from now, and a function may do
// only what its policy allows. Where OCI's behaviour is not documented it takes the
// stricter reading. Errors have OCI's bodies and codes and every answer an
// opc-request-id.
//
// All state is in one folder. An acknowledged write survives the process being killed
// at any moment; an event is delivered at least once, also over a restart. Objects are
// streamed, never held in memory, and names are stored as given, never used as paths.
package localoci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/writelog"
	"cemli-executor/internal/problem"
)

// Config says what a Server is to be. All fields are required unless noted.
type Config struct {
	Dir string // holds all state; made if need be
	// Buckets are made at the first start, and say what the function may do.
	Buckets Buckets
	// Versioned says that they keep versions, all but that for results. Those that do already
	// go on.
	Versioned bool
	// Statements are the policy of the function's principal; nil: those that Terraform
	// deploys.
	Statements []string
	// Rule is the condition of the events of objects that the function is handed, in OCI's
	// language; empty: the one that Terraform deploys.
	Rule string
	// Invoke runs the function. Its error may be an *InvokeError.
	Invoke func(context.Context, Invocation) (Answer, error)
	// Observe, if not nil, is told what happens. It must not block.
	Observe func(Activity)
	Log     *slog.Logger
	Now     func() time.Time // optional clock
}

// Buckets are the names of the function's buckets. Policies, which the function only
// reads, is optional.
type Buckets struct{ Packages, Results, State, Policies string }

// Activity is one thing that happened, for people to watch.
type Activity struct {
	Time   time.Time
	Kind   string // upload, event, invocation
	Detail string
	Err    error // of an invocation that failed
}

// Server is a local OCI.
type Server struct {
	config    Config
	storage   *storage
	authority *Authority
	policy    iam.Policy
	rules     []map[string]any // conditions of events that the function is handed
	faults    faultBox
	events    *dispatcher
	writes    *writelog.Log
	http      *http.Server // nil until Start
	listener  net.Listener
	token     string          // of the admin interface; empty until Start
	ctx       context.Context // ends with the server
	stop      context.CancelFunc
	detached  sync.WaitGroup // invocations that nobody waits for
}

// Open opens the state in config.Dir, making it at the first time.
func Open(config Config) (*Server, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	policy, err := newPolicy(config)
	if err != nil {
		return nil, err
	}
	rules, err := newRules(config)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, dirError(config.Dir, err)
	}
	authority, err := openAuthority(filepath.Join(config.Dir, "oci"))
	if err != nil {
		return nil, dirError(config.Dir, err)
	}
	storage, err := openStorage(config.Dir, config.Now)
	if err != nil {
		return nil, dirError(config.Dir, err)
	}
	s := &Server{config: config, storage: storage, authority: authority, policy: policy, rules: rules}
	storage.full = func() bool { return s.faults.get().DiskFull }
	clock := config.Now
	s.config.Now = func() time.Time { return clock().Add(time.Duration(s.faults.get().ClockSkew)) }
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.makeBuckets(); err != nil {
		_ = storage.close() // the first error says more
		return nil, dirError(config.Dir, err)
	}
	if s.writes, err = s.openWriteLog(); err != nil {
		_ = storage.close() // the first error says more
		return nil, dirError(config.Dir, err)
	}
	s.events = newDispatcher(storage, s.deliver, config.Log)
	s.events.faults = s.faults.get
	return s, nil
}

// makeBuckets makes the function's buckets as Terraform does: evidence is retained, which excludes
// versions, and the others keep them.
func (s *Server) makeBuckets() error {
	b, kept := s.config.Buckets, ""
	if s.config.Versioned {
		kept = versioningOn
	}
	for _, bucket := range []struct {
		name       string
		events     bool
		versioning string
	}{{b.Packages, true, kept}, {b.Results, false, ""}, {b.State, false, kept}, {b.Policies, false, kept}} {
		if bucket.name == "" {
			continue
		}
		if err := s.storage.ensureBucket(bucket.name, bucket.events, bucket.versioning); err != nil {
			return err
		}
	}
	return nil
}

func dirError(dir string, err error) error {
	p := problem.Problem{
		Code: "config.local_dir", Where: dir, Message: "the folder cannot hold the state of a local OCI",
		Hint: "use a folder that you may write to; if its contents are damaged, delete them",
	}
	if errors.Is(err, errInUse) {
		p.Message = "another local OCI has the folder open"
		p.Hint = "end that one, or use a folder that no other local OCI has open"
	}
	return problem.New(p, err)
}

// Start listens on 127.0.0.1 and delivers events. Port 0 takes any free one.
func (s *Server) Start(port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return problem.New(problem.Problem{
			Code: "config.port", Message: fmt.Sprintf("port %d cannot be used", port), Hint: "use --port 0 for any free one",
		}, err)
	}
	s.listener = listener
	if err := s.announce(); err != nil {
		return errors.Join(dirError(s.config.Dir, err), listener.Close())
	}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	go s.http.Serve(listener) //nolint:errcheck // it ends with Close
	s.events.start(s.ctx)
	return nil
}

// Endpoint is the base URL of all services.
func (s *Server) Endpoint() string { return "http://" + s.listener.Addr().String() }

// Authority makes the credentials that the server accepts.
func (s *Server) Authority() *Authority { return s.authority }

// drainTime is how long Close waits for the requests that are being served.
const drainTime = 2 * time.Second

// Close lets the requests that are being served come to their end, within seconds, and
// ends everything; what was accepted stays for the next start.
func (s *Server) Close() error {
	var failed error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		_ = s.http.Shutdown(ctx) // what is left then is cut off
		cancel()
	}
	s.stop()
	s.events.wait()
	s.detached.Wait()
	if s.http != nil {
		failed = s.http.Close()
		s.withdraw()
	}
	return errors.Join(failed, s.storage.close())
}

func (s *Server) observe(kind, detail string, err error) {
	if s.config.Observe != nil {
		s.config.Observe(Activity{Time: s.config.Now(), Kind: kind, Detail: detail, Err: err})
	}
}

// deliver is one attempt to hand an event to the function, if a rule is for it.
func (s *Server) deliver(ctx context.Context, event []byte) error {
	if !s.ruled(event) {
		s.observe("event", describeEvent(event)+" (no rule)", nil)
		return nil
	}
	s.observe("event", describeEvent(event), nil)
	_, err := s.run(ctx, Invocation{Body: event, Header: http.Header{"Content-Type": {"application/json"}}})
	return err
}

// request is one request on its way through the server.
type request struct {
	*http.Request
	id        string
	principal principal
	body      *bodyCheck
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &request{Request: r, id: strings.ToUpper(strings.ReplaceAll(uuid.NewString(), "-", ""))}
	w.Header().Set("Opc-Request-Id", req.id)
	if client := r.Header.Get("Opc-Client-Request-Id"); client != "" {
		w.Header().Set("Opc-Client-Request-Id", client)
	}
	if strings.HasPrefix(r.URL.Path, adminPath) {
		s.admin(w, req)
		return
	}
	s.faulty(w, req, func(w http.ResponseWriter) {
		if err := s.handle(w, req); err != nil {
			s.fail(w, req, err)
		}
	})
}

// handle authenticates, routes and serves.
func (s *Server) handle(w http.ResponseWriter, r *request) error {
	route, ok := parseRoute(r.Request)
	if !ok {
		return errNotAuthorizedOrNotFound
	}
	if err := s.authenticate(r, route); err != nil {
		return err
	}
	s.config.Log.Debug("request", "function", r.principal.function, "method", r.Method, "bucket", route.bucket, "path", r.URL.Path)
	if route.bucket != "" || route.ns != "" {
		if err := inNamespace(route); err != nil {
			return err
		}
	}
	return s.serveLogged(w, r, route)
}

// apiError is a failure that OCI tells a client.
type apiError struct {
	status  int
	code    string
	message string
}

func (e apiError) Error() string { return e.code + ": " + e.message }

// fail answers an error with OCI's body.
func (s *Server) fail(w http.ResponseWriter, r *request, err error) {
	var api apiError
	if !errors.As(err, &api) {
		s.config.Log.Error("internal error", "request", r.id, "error", err.Error())
		api = apiError{http.StatusInternalServerError, "InternalServerError", "Internal error"}
	}
	s.config.Log.Debug("refused", "method", r.Method, "uri", r.RequestURI, "status", api.status, "code", api.code, "error", err.Error())
	if r.Method == http.MethodHead {
		w.WriteHeader(api.status)
		return
	}
	writeJSON(w, api.status, map[string]string{"code": api.code, "message": api.message})
}
