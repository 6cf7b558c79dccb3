package localoci

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// adminPath begins what OCI does not have: switches and views of the local OCI itself.
//
//	GET  /local/faults       the faults in force
//	PUT  /local/faults       Faults, as JSON, instead of them
//	GET  /local/messages     what was published to topics
//	POST /local/secrets      {"name", "content"}: a new version of a secret, base64
//	POST /local/writes       LoggedWrite: an entry of the write log, as of a pre-authenticated request
//	POST /local/credentials  {"valid"}: environment and keys of a function for so long
//
// They are not signed. Whoever may read the state folder has their token, which is in the
// file admin-token as long as the server runs: scripts, which can reach the port, may not.
// A page in a browser can neither send the header nor, under a name that was made to mean
// this machine, a Host that is taken.
const adminPath = "/local/"

const adminHeader = "Cemli-Local"

// Files of the state folder for those who use the switches: the token, and where the server is.
const (
	tokenFile    = "admin-token"
	endpointFile = "endpoint"
)

// adminError is a refusal that says what to do.
type adminError struct {
	apiError
	hint string
}

var (
	errForeignHost = adminError{
		apiError{http.StatusForbidden, "NotAllowed", "The request's Host is none of this machine's own names."},
		"use the endpoint that cemli local up prints",
	}
	errNoToken = adminError{
		apiError{http.StatusUnauthorized, "NotAuthenticated", "The header " + adminHeader + " does not have the token of this local OCI."},
		"send the text of the file " + tokenFile + " in the folder of cemli local up (--dir); each start makes another token",
	}
)

func (s *Server) admin(w http.ResponseWriter, r *request) {
	err := s.adminCall(w, r)
	var refused adminError
	switch {
	case errors.As(err, &refused):
		s.config.Log.Warn("switch refused", "method", r.Method, "uri", r.RequestURI, "host", r.Host, "code", refused.code)
		writeJSON(w, refused.status, map[string]string{"code": refused.code, "message": refused.message, "hint": refused.hint})
	case err != nil:
		s.fail(w, r, err)
	}
}

// switches are the calls of the admin interface.
var switches = map[string]func(*Server, http.ResponseWriter, []byte) error{
	"GET /local/faults":       (*Server).showFaults,
	"PUT /local/faults":       (*Server).switchFaults,
	"GET /local/messages":     (*Server).showMessages,
	"POST /local/secrets":     (*Server).makeSecret,
	"POST /local/writes":      (*Server).makeWrite,
	"POST /local/credentials": (*Server).makeCredentials,
}

func (s *Server) adminCall(w http.ResponseWriter, r *request) error {
	if !ownHost(r.Request) {
		return errForeignHost
	}
	if s.token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get(adminHeader)), []byte(s.token)) != 1 {
		return errNoToken
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxJSON))
	if err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", "The request body could not be read."}
	}
	call := switches[r.Method+" "+r.URL.Path]
	if call == nil {
		return apiError{http.StatusNotFound, "NotFound", "There is no such switch or view."}
	}
	return call(s, w, body)
}

// ownHost reports whether a request names this machine as its Host: by a loopback name, or by the
// address that it came to.
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

// announce writes the files for those who use the switches.
func (s *Server) announce() error {
	s.token = rand.Text()
	for name, text := range map[string]string{tokenFile: s.token, endpointFile: s.Endpoint()} {
		path := filepath.Join(s.config.Dir, name)
		if err := errors.Join(writeNew(path+".new", text), os.Rename(path+".new", path)); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file for its owner alone, whatever was there.
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

// withdraw removes those files.
func (s *Server) withdraw() {
	for _, name := range []string{tokenFile, endpointFile} {
		_ = os.Remove(filepath.Join(s.config.Dir, name)) // what stays is of no use
	}
}

func (s *Server) showFaults(w http.ResponseWriter, _ []byte) error {
	writeJSON(w, http.StatusOK, s.faults.get())
	return nil
}

func (s *Server) switchFaults(w http.ResponseWriter, body []byte) error {
	var f Faults
	err := decodeStrict(body, &f)
	if err == nil {
		err = s.SetFaults(f)
	}
	if err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	writeJSON(w, http.StatusOK, f)
	return nil
}

func (s *Server) showMessages(w http.ResponseWriter, _ []byte) error {
	messages, err := s.Messages()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": messages})
	return nil
}

func (s *Server) makeSecret(w http.ResponseWriter, body []byte) error {
	var q struct {
		Name    string `json:"name"`
		Content []byte `json:"content"`
	}
	if err := decodeStrict(body, &q); err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	made, err := s.PutSecret(q.Name, q.Content)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, made)
	return nil
}

// decodeStrict reads one JSON value without keys that are not known.
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
