// Package functions is the Functions service of a local OCI: it describes the one function, and invokes it for
// permitted clients and for the other services.
package functions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// Invocation is one call of the function.
type Invocation struct {
	Body     []byte
	Header   http.Header // the caller's headers that the platform passes on
	Detached bool        // the caller does not wait for the answer
}

// Answer is what the function answered.
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

// Config configures the service. All fields are required.
type Config struct {
	// Run runs the function. Its error may be an *InvokeError.
	Run     func(context.Context, Invocation) (Answer, error)
	Observe func(callID string, err error) // is called when an invocation has ended, for people to watch
	Log     *slog.Logger
}

// Service is the Functions service.
type Service struct {
	gateway.Table
	config   Config
	ctx      context.Context // of detached invocations
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

// Close ends the detached invocations.
func (s *Service) Close() {
	s.stop()
	s.detached.Wait()
}

// describe answers with the function's description: clients that invoke it ask for the endpoint.
func (s *Service) describe(w http.ResponseWriter, r *gateway.Request, id string) error {
	if !allowed(r, iam.FunctionRead, id) {
		return answer.NotFound
	}
	answer.JSON(w, http.StatusOK, map[string]any{
		"id": tenancy.FunctionID, "displayName": "cemli-executor", "lifecycleState": "ACTIVE",
		"applicationId": tenancy.AppID,
		"compartmentId": tenancy.Compartment, "invokeEndpoint": "http://" + r.Host,
	})
	return nil
}

// allowed reports whether the function exists and the principal has a permission for it.
func allowed(r *gateway.Request, needed iam.Permission, id string) bool {
	return id == tenancy.FunctionID && r.Allows(needed, map[string]string{"target.function.id": id})
}

// serveInvoke invokes the function; it does not wait for a detached invocation.
func (s *Service) serveInvoke(w http.ResponseWriter, r *gateway.Request, id string) error {
	if !allowed(r, iam.FunctionInvoke, id) {
		return answer.NotFound
	}
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	if strings.EqualFold(r.Header.Get("Is-Dry-Run"), "true") { // the client only asks whether it may invoke
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	call := Invocation{Body: body, Header: passedOn(r)}
	if strings.EqualFold(r.Header.Get("Fn-Invoke-Type"), "detached") {
		// It outlives the request, and ends with the service.
		call.Detached = true
		s.detached.Go(func() { _, _ = s.Invoke(s.ctx, call) }) // Invoke tells the log
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	said, err := s.Invoke(r.Context(), call)
	return give(w, said, err)
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

// Invoke invokes the function.
func (s *Service) Invoke(ctx context.Context, call Invocation) (Answer, error) {
	said, err := s.config.Run(ctx, call)
	s.config.Observe(said.CallID, err)
	if err != nil {
		s.config.Log.Warn("invocation failed", "error", err.Error())
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
