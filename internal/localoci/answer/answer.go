// Package answer is how all services of a local OCI answer: with JSON, and with OCI's error bodies and codes.
package answer

import (
	"encoding/json"
	"net/http"
)

// Error is a failure as OCI reports it to a client.
type Error struct {
	Status  int
	Code    string
	Message string
}

// Error gives code and message.
func (e Error) Error() string { return e.Code + ": " + e.Message }

// New makes an Error.
func New(status int, code, message string) Error { return Error{status, code, message} }

// NotFound is OCI's single answer for what does not exist and for what is not allowed, so that clients cannot tell
// which of the two it is.
var NotFound = New(http.StatusNotFound, "NotAuthorizedOrNotFound",
	"Authorization failed or requested resource not found.")

// NotAuthenticated answers a request whose signature, or whose signed body, is wrong.
var NotAuthenticated = New(http.StatusUnauthorized, "NotAuthenticated",
	"The required information to complete authentication was not provided or was incorrect.")

// Invalid refuses a parameter or a body, and says what is wrong.
func Invalid(message string) Error { return New(http.StatusBadRequest, "InvalidParameter", message) }

// JSON answers with a value as JSON.
func JSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}
