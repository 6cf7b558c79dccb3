// Package gateway is the front of a local OCI; every request to a service goes through it. It verifies the signature,
// applies the faults in force, finds the operation that the request is for, checks the principal's permissions, and
// answers errors as OCI does. It knows none of the services: they are passed to it, and an operation is a function.
package gateway

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/tenancy"
)

// Gateway serves the operations of all services.
type Gateway struct {
	Authority *tenancy.Authority // whose keys are accepted
	Policy    func() iam.Policy  // what functions and instances may do now
	Services  []Service
	// Unsigned are operations that OCI does not have: they need no signature, and no faults apply to them.
	Unsigned Service
	Faults   func() faults.Faults // returns those in force
	Now      func() time.Time
	Denied   func(detail string) // is called, for people to watch, when the policy denies something
	Log      *slog.Logger
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.ToUpper(strings.ReplaceAll(uuid.NewString(), "-", ""))
	req := &Request{Request: r, ID: id, Body: &Body{Reader: r.Body}, gateway: g}
	w.Header().Set("Opc-Request-Id", req.ID)
	if client := r.Header.Get("Opc-Client-Request-Id"); client != "" {
		w.Header().Set("Opc-Client-Request-Id", client)
	}
	if operation, ok := g.Unsigned.Route(r); ok {
		g.finish(w, req, operation.Handle(w, req))
		return
	}
	operation := g.route(r)
	g.misbehave(w, req, operation, func(w http.ResponseWriter) {
		g.finish(w, req, g.serve(w, req, operation))
	})
}

// route finds the operation that a request is for. If no service has it, the answer is that it was not found, whether
// the request is signed or not.
func (g *Gateway) route(r *http.Request) Operation {
	for _, service := range g.Services {
		if operation, ok := service.Route(r); ok {
			return operation
		}
	}
	return Operation{}
}

// serve authenticates a request and runs its operation.
func (g *Gateway) serve(w http.ResponseWriter, r *Request, operation Operation) error {
	if operation.Handle == nil {
		return answer.NotFound
	}
	if err := g.authenticate(r, operation); err != nil {
		return err
	}
	g.Log.Debug("request", "principal", r.Principal.ID(), "method", r.Method, "path", loggable(r.URL.Path))
	return operation.Handle(w, r)
}

// finish answers with an error in OCI's form, if there is one.
func (g *Gateway) finish(w http.ResponseWriter, r *Request, err error) {
	if err == nil {
		return
	}
	var refused answer.Error
	if !errors.As(err, &refused) {
		g.Log.Error("internal error", "request", r.ID, "error", err.Error())
		refused = answer.New(http.StatusInternalServerError, "InternalServerError", "Internal error")
	}
	g.Log.Debug("refused", "method", r.Method, "uri", loggable(r.RequestURI),
		"status", refused.Status, "code", refused.Code, "error", err.Error())
	if r.Method == http.MethodHead {
		w.WriteHeader(refused.Status)
		return
	}
	answer.JSON(w, refused.Status, map[string]string{"code": refused.Code, "message": refused.Message})
}
