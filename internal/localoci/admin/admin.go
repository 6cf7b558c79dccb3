// Package admin is what OCI does not have: switches and views of the local OCI itself, each with a method and a path
// below /local/.
//
// Requests to them are not signed but carry a token, which is in the file admin-token in the state folder as long as
// the local OCI runs. So people who may read that folder can use them, and scripts, which can reach the port, cannot.
// Neither can a page in a browser: it cannot send the header, and if a name was made to resolve to this machine, its
// Host is refused.
package admin

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/gateway"
)

// Path is the prefix of all switches and views.
const Path = "/local/"

const header = "Cemli-Local"

// Files in the state folder for users of the switches: the token, and the address of the local OCI.
const (
	tokenFile    = "admin-token"
	endpointFile = "endpoint"
)

// refusal is an error with a hint.
type refusal struct {
	why  answer.Error
	hint string
}

func (r refusal) Error() string { return r.why.Error() }

var (
	errForeignHost = refusal{
		answer.New(http.StatusForbidden, "NotAllowed", "The request's Host is none of this machine's own names."),
		"use the endpoint that cemli local up prints",
	}
	errNoToken = refusal{
		answer.New(http.StatusUnauthorized, "NotAuthenticated",
			"The header "+header+" does not have the token of this local OCI."),
		"send the text of the file " + tokenFile +
			" in the folder of cemli local up (--dir); each start makes another token",
	}
)

// Call is what a switch or view does with a request's body; its result is answered as JSON.
type Call func(body []byte) (any, error)

// View is a call that needs no body.
func View[T any](look func() (T, error)) Call {
	return func([]byte) (any, error) { return look() }
}

// Switch is a call whose body is a JSON document without unknown members.
func Switch[Q, T any](do func(Q) (T, error)) Call {
	return func(body []byte) (any, error) {
		var q Q
		if err := decodeStrict(body, &q); err != nil {
			return nil, answer.Invalid(err.Error())
		}
		return do(q)
	}
}

// decodeStrict reads one JSON value without unknown members.
func decodeStrict(doc []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is text after the JSON value")
	}
	return nil
}

// Service serves the switches and views.
type Service struct {
	dir   string
	calls map[string]Call // by method and path, such as "GET /local/faults"
	token string          // empty until Announce
	log   *slog.Logger
}

// New makes the service of the local OCI whose state is in dir.
func New(dir string, calls map[string]Call, log *slog.Logger) *Service {
	return &Service{dir: dir, calls: calls, log: log}
}

// Route routes every path below Path.
func (s *Service) Route(r *http.Request) (gateway.Operation, bool) {
	return gateway.Operation{Handle: s.serve}, strings.HasPrefix(r.URL.Path, Path)
}

// serve executes a call, or answers with a hint why not.
func (s *Service) serve(w http.ResponseWriter, r *gateway.Request) error {
	value, err := s.call(r)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		s.log.Warn("switch refused", "method", r.Method, "uri", r.RequestURI, "host", r.Host, "code", refused.why.Code)
		answer.JSON(w, refused.why.Status, map[string]string{
			"code": refused.why.Code, "message": refused.why.Message, "hint": refused.hint,
		})
	case err != nil:
		return err
	default:
		answer.JSON(w, http.StatusOK, value)
	}
	return nil
}

func (s *Service) call(r *gateway.Request) (any, error) {
	if !ownHost(r.Request) {
		return nil, errForeignHost
	}
	if s.token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get(header)), []byte(s.token)) != 1 {
		return nil, errNoToken
	}
	body, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	call := s.calls[r.Method+" "+r.URL.Path]
	if call == nil {
		return nil, answer.New(http.StatusNotFound, "NotFound", "There is no such switch or view.")
	}
	return call(body)
}

// ownHost reports whether a request's Host is this machine: a loopback name, or the address at which the request
// arrived.
func ownHost(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return address.IsLoopback() || ok && local.AddrPort().Addr().Unmap() == address.Unmap()
}

// Announce writes the files for users of the switches.
func (s *Service) Announce(endpoint string) error {
	s.token = rand.Text()
	for name, text := range map[string]string{tokenFile: s.token, endpointFile: endpoint} {
		path := filepath.Join(s.dir, name)
		if err := errors.Join(writeNew(path+".new", text), os.Rename(path+".new", path)); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file that only its owner can read, and replaces an existing one.
func writeNew(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Close())
}

// Withdraw removes those files.
func (s *Service) Withdraw() {
	for _, name := range []string{tokenFile, endpointFile} {
		_ = os.Remove(filepath.Join(s.dir, name)) // a file that stays is of no use
	}
}
