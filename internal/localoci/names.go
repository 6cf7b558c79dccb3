package localoci

import (
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/functions"
	"cemli-executor/internal/localoci/logging"
	"cemli-executor/internal/localoci/notifications"
	"cemli-executor/internal/localoci/tenancy"
	"cemli-executor/internal/localoci/vault"
)

// What users of a local OCI need of its parts, so that they need no other package.

// The ids of what exists only once in a local OCI.
const (
	Namespace   = tenancy.Namespace
	Region      = tenancy.Region
	Tenancy     = tenancy.ID
	Compartment = tenancy.Compartment
	User        = tenancy.User
	FunctionID  = tenancy.FunctionID
	InstanceID  = tenancy.InstanceID
	AppID       = tenancy.AppID
	RunnerID    = tenancy.RunnerID
	RunnerAppID = tenancy.RunnerAppID
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

// SetFaults replaces the faults in force; empty ones end all.
func (s *Server) SetFaults(f Faults) error { return s.faults.Set(f) }

// Authority issues the credentials that the server accepts.
func (s *Server) Authority() *Authority { return s.authority }

// PutSecret stores a secret, or a new version of one, in the vault. A new version is a rotation, and makes an event.
func (s *Server) PutSecret(name string, content []byte) (SecretVersion, error) {
	return s.vault.Put(name, content)
}

// HasSecret reports whether the current version of a secret has this content.
func (s *Server) HasSecret(name string, content []byte) bool { return s.vault.Has(name, content) }

// Messages returns the last 1,000 published messages, oldest first.
func (s *Server) Messages() ([]Message, error) { return s.notifications.Messages() }

// LogWrite puts an entry into the write log, of an upload by somebody whom this tenancy does not have.
func (s *Server) LogWrite(l LoggedWrite) { s.logging.Put(l) }

// PendingEvents counts the events that have not been delivered yet.
func (s *Server) PendingEvents() (int, error) { return s.events.Pending() }
