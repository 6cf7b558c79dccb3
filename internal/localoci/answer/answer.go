// Package answer is what all services of a local OCI answer with: JSON, and errors with the bodies and codes of OCI.
package answer

import (
	"encoding/json"
	"net/http"
)

// Error is a failure that a client is told, as OCI tells it.
type Error struct {
	Status  int
	Code    string
	Message string
}

// Error gives code and message.
func (e Error) Error() string { return e.Code + ": " + e.Message }

// New makes an error.
func New(status int, code, message string) Error { return Error{status, code, message} }

// NotFound is OCI's one answer to a request for what does not exist and to one that is not allowed, so that nobody
// learns which of the two it is.
var NotFound = New(http.StatusNotFound, "NotAuthorizedOrNotFound",
	"Authorization failed or requested resource not found.")

// NotAuthenticated is the answer to a request whose signature, or the body that it covers, is not right.
var NotAuthenticated = New(http.StatusUnauthorized, "NotAuthenticated",
	"The required information to complete authentication was not provided or was incorrect.")

// Invalid refuses a parameter or a body, and says what would be right.
func Invalid(message string) Error { return New(http.StatusBadRequest, "InvalidParameter", message) }

// JSON answers a value as JSON.
func JSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}
