package localoci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cemli-executor/internal/iam"
)

// Invocation is one call of the function.
type Invocation struct {
	Body     []byte
	Header   http.Header // what of the caller's headers the platform passes on
	Detached bool        // nobody waits for the answer
}

// Answer is what the function said.
type Answer struct {
	CallID string
	Header http.Header
	Body   []byte
}

// InvokeError is an invocation that failed, as OCI tells its caller.
type InvokeError struct {
	Status  int
	Code    string
	Message string
}

// Error gives code and message.
func (e *InvokeError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// getFunction describes the function: a client that is to invoke it asks where.
func (s *Server) getFunction(w http.ResponseWriter, r *request, to route) error {
	if to.function != FunctionID || !s.allowed(r, iam.FunctionRead, map[string]string{"target.function.id": to.function}) {
		return errNotAuthorizedOrNotFound
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": FunctionID, "displayName": "cemli-executor", "lifecycleState": "ACTIVE", "applicationId": AppID,
		"compartmentId": Compartment, "invokeEndpoint": "http://" + r.Host,
	})
	return nil
}

// invoke calls the function, or, detached, begins to.
func (s *Server) invoke(w http.ResponseWriter, r *request, to route) error {
	if to.function != FunctionID || !s.allowed(r, iam.FunctionInvoke, map[string]string{"target.function.id": to.function}) {
		return errNotAuthorizedOrNotFound
	}
	body, err := r.body.all()
	if err != nil {
		return err
	}
	call := Invocation{Body: body, Header: passedOn(r)}
	if strings.EqualFold(r.Header.Get("Fn-Invoke-Type"), "detached") {
		// It outlives the request, and ends with the server.
		call.Detached = true
		s.detached.Go(func() { _, _ = s.run(s.ctx, call) }) // run tells the log
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	answer, err := s.run(r.Context(), call)
	if answer.CallID != "" {
		w.Header().Set("Fn-Call-Id", answer.CallID)
	}
	var failed *InvokeError
	if errors.As(err, &failed) {
		return apiError{failed.Status, failed.Code, failed.Message}
	}
	if err != nil {
		return err
	}
	if contentType := answer.Header.Get("Content-Type"); contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(answer.Body) // a client that is gone needs no answer
	return nil
}

func (s *Server) run(ctx context.Context, call Invocation) (Answer, error) {
	answer, err := s.config.Invoke(ctx, call)
	s.observe("invocation", answer.CallID, err)
	if err != nil {
		s.config.Log.Warn("invocation failed", "error", err.Error())
	}
	return answer, err
}

// passedOn are the headers that reach the function: some of the client's, and who signed the
// request, which no client can say itself.
func passedOn(r *request) http.Header {
	passed := http.Header{}
	for name, values := range r.Header {
		if name == "Content-Type" || strings.HasPrefix(name, "Ce-") || strings.HasPrefix(name, "Fn-") {
			passed[name] = values
		}
	}
	for name, value := range r.principal.subject() {
		passed.Set(name, value)
	}
	return passed
}
