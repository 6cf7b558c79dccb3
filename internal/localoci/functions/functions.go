// Package functions is the Functions service of a local OCI: it describes functions, and invokes them for permitted
// clients and for the other services. Calls by clients go wrong as the faults in force say.
package functions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/gateway"
)

// Invocation is one call of a function.
type Invocation struct {
	Body     []byte
	Header   http.Header // the caller's headers that the platform passes on
	Detached bool        // the caller does not wait for the answer
}

// Answer is what a function answered.
type Answer struct {
	CallID string
	Header http.Header
	Body   []byte
}

// InvokeError is a failed invocation, as OCI reports it to the caller.
type InvokeError struct {
	Status  int
	Code    string
	Message string
}

// Error gives code and message.
func (e *InvokeError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Function is one function.
type Function struct {
	ID, Name, AppID string
	Compartment     string // OCID; permissions for the function are those in it
	Called          string // what faults of calls, and logs, call it
	// Run runs it. Its error may be an *InvokeError.
	Run func(context.Context, Invocation) (Answer, error)
}

// Config configures the service. All fields are required.
type Config struct {
	Functions []Function
	// Observe is called when an invocation has ended, for people to watch.
	Observe func(called, callID string, err error)
	Faults  func() faults.Faults // returns those in force
	Log     *slog.Logger
}

// Service is the Functions service.
type Service struct {
	gateway.Table
	config   Config
	ctx      context.Context // of calls that outlive their request
	stop     context.CancelFunc
	detached sync.WaitGroup
}

// New makes the service.
func New(config Config) *Service {
	s := &Service{config: config}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.Table = gateway.Table{
		{Method: http.MethodGet, Path: gateway.Dated(`/functions/([^/]+)`), Handle: s.describe},
		{Method: http.MethodPost, Path: gateway.Dated(`/functions/([^/]+)/actions/invoke`), Handle: s.serveInvoke},
	}
	return s
}

// Close ends the calls that outlive their request.
func (s *Service) Close() {
	s.stop()
	s.detached.Wait()
}

// find returns the function if it exists and the principal has a permission for it.
func (s *Service) find(r *gateway.Request, needed iam.Permission, id string) (Function, error) {
	i := slices.IndexFunc(s.config.Functions, func(f Function) bool { return f.ID == id })
	if i < 0 {
		return Function{}, answer.NotFound
	}
	f := s.config.Functions[i]
	if !r.AllowsIn(f.Compartment, needed, map[string]string{"target.function.id": id}) {
		return Function{}, answer.NotFound
	}
	return f, nil
}

// describe answers with a function's description: clients that invoke it ask for the endpoint.
func (s *Service) describe(w http.ResponseWriter, r *gateway.Request, id string) error {
	f, err := s.find(r, iam.FunctionRead, id)
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, map[string]any{
		"id": f.ID, "displayName": f.Name, "lifecycleState": "ACTIVE", "applicationId": f.AppID,
		"compartmentId": f.Compartment, "invokeEndpoint": "http://" + r.Host,
	})
	return nil
}

// serveInvoke invokes a function; it does not wait for a detached invocation.
func (s *Service) serveInvoke(w http.ResponseWriter, r *gateway.Request, id string) error {
	f, err := s.find(r, iam.FunctionInvoke, id)
	if err != nil {
		return err
	}
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	if strings.EqualFold(r.Header.Get("Is-Dry-Run"), "true") { // the client only asks whether it may invoke
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	call := Invocation{
		Body: body, Header: passedOn(r), Detached: strings.EqualFold(r.Header.Get("Fn-Invoke-Type"), "detached"),
	}
	return s.carry(w, r, f, call)
}

// give answers with what the function answered, or how the invocation failed.
func give(w http.ResponseWriter, said Answer, err error) error {
	if said.CallID != "" {
		w.Header().Set("Fn-Call-Id", said.CallID)
	}
	var failed *InvokeError
	if errors.As(err, &failed) {
		return answer.New(failed.Status, failed.Code, failed.Message)
	}
	if err != nil {
		return err
	}
	if contentType := said.Header.Get("Content-Type"); contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(said.Body) // a client that is gone needs no answer
	return nil
}

// Invoke invokes a function for another service.
func (s *Service) Invoke(ctx context.Context, id string, call Invocation) (Answer, error) {
	for _, f := range s.config.Functions {
		if f.ID == id {
			return s.invoke(ctx, f, call)
		}
	}
	return Answer{}, answer.NotFound
}

// invoke calls a function once.
func (s *Service) invoke(ctx context.Context, f Function, call Invocation) (Answer, error) {
	said, err := f.Run(ctx, call)
	s.config.Observe(f.Called, said.CallID, err)
	if err != nil {
		s.config.Log.Warn("invocation failed", "function", f.Called, "error", err.Error())
	}
	return said, err
}

// passedOn are the headers that reach the function: some of the client's, and the identity that signed the request,
// which clients cannot set themselves.
func passedOn(r *gateway.Request) http.Header {
	passed := http.Header{}
	for name, values := range r.Header {
		if name == "Content-Type" || strings.HasPrefix(name, "Ce-") || strings.HasPrefix(name, "Fn-") {
			passed[name] = values
		}
	}
	for name, value := range r.Principal.Subject() {
		passed.Set(name, value)
	}
	return passed
}
