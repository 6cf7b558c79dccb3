package localoci

import (
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/functions"
	"cemli-executor/internal/localoci/logging"
	"cemli-executor/internal/localoci/notifications"
	"cemli-executor/internal/localoci/tenancy"
	"cemli-executor/internal/localoci/vault"
)

// What people of a local OCI have to know of its parts, so that they need no other package.

// The ids of what is in a local OCI once only.
const (
	Namespace   = tenancy.Namespace
	Region      = tenancy.Region
	Tenancy     = tenancy.ID
	Compartment = tenancy.Compartment
	User        = tenancy.User
	FunctionID  = tenancy.FunctionID
	InstanceID  = tenancy.InstanceID
	AppID       = tenancy.AppID
	TopicID     = notifications.TopicID
	VaultID     = vault.ID
	WriteLog    = logging.WriteLog // as the function's configuration names it
)

// The types of the parts.
type (
	Authority     = tenancy.Authority
	Session       = tenancy.Session
	Faults        = faults.Faults
	Duration      = faults.Duration
	Invocation    = functions.Invocation
	Answer        = functions.Answer
	InvokeError   = functions.InvokeError
	Message       = notifications.Message
	SecretVersion = vault.SecretVersion
	LoggedWrite   = logging.LoggedWrite
)

// ParseFault reads "name=value" and sets it in f; a name alone means true.
func ParseFault(text string, f *Faults) error { return faults.Parse(text, f) }

// SetFaults puts faults in force instead of those before; none ends them all.
func (s *Server) SetFaults(f Faults) error { return s.faults.Set(f) }

// Authority makes the credentials that the server accepts.
func (s *Server) Authority() *Authority { return s.authority }

// PutSecret makes a secret, or a new version of one, in the vault. A new version is a rotation, and an event.
func (s *Server) PutSecret(name string, content []byte) (SecretVersion, error) {
	return s.vault.Put(name, content)
}

// HasSecret reports whether the current version of a secret has a content.
func (s *Server) HasSecret(name string, content []byte) bool { return s.vault.Has(name, content) }

// Messages returns the messages that were published, the oldest first, up to 1,000.
func (s *Server) Messages() ([]Message, error) { return s.notifications.Messages() }

// LogWrite puts an entry into the write log, of an upload by somebody whom this tenancy does not have.
func (s *Server) LogWrite(l LoggedWrite) { s.logging.Put(l) }

// PendingEvents counts the events that are not delivered yet.
func (s *Server) PendingEvents() (int, error) { return s.events.Pending() }
