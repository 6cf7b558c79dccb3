package localoci

import (
	"cmp"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/writelog"
)

// WriteLog is the log of writes to the packages bucket, as the function's configuration names it.
const WriteLog = Compartment + "/" + writelog.GroupID + "/" + writelog.LogID

// openWriteLog opens the log in the index.
func (s *Server) openWriteLog() (*writelog.Log, error) {
	b, err := s.storage.bucket(s.config.Buckets.Packages)
	if err != nil {
		return nil, err
	}
	return writelog.Open(s.storage.db, writelog.Place{
		Region: Region, Compartment: Compartment, Tenancy: Tenancy, Namespace: Namespace, Bucket: b.Name, BucketID: b.ID,
	})
}

// serveLogged serves a request, and notes it in the write log if that is for it.
func (s *Server) serveLogged(w http.ResponseWriter, r *request, to route) error {
	if to.bucket != s.config.Buckets.Packages || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return to.serve(s, w, r, to)
	}
	begun := s.config.Now()
	answer := &answered{ResponseWriter: w, status: http.StatusOK}
	err := to.serve(s, answer, r, to)
	s.logWrite(r, to, begun, answer, err)
	return err
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// logWrite notes a request to the packages bucket, as OCI's service does.
func (s *Server) logWrite(r *request, to route, begun time.Time, answer *answered, err error) {
	write := writelog.Write{
		Start: begun, End: s.config.Now(), RequestID: r.id, Action: r.Method, Path: r.URL.Path, Operation: strings.ToLower(r.Method) + "object",
		Object: to.object, Status: answer.status, ETag: answer.Header().Get("Etag"), Version: answer.Header().Get("Version-Id"),
		UserAgent: r.UserAgent(),
	}
	write.Address, _, _ = net.SplitHostPort(r.RemoteAddr)
	write.Principal, write.Authentication = r.principal.id(), r.principal.kind()
	write.PrincipalName = "local " + write.Authentication
	if err != nil {
		refused := apiError{http.StatusInternalServerError, "InternalServerError", ""}
		_ = errors.As(err, &refused)
		write.Status, write.ErrorCode, write.ETag, write.Version = refused.status, refused.code, "", ""
	}
	s.addWrite(write)
}

// logCopy notes what a copy has made in the packages bucket.
func (s *Server) logCopy(r *request, name string, o objectRecord) {
	s.addWrite(writelog.Write{
		Start: o.Created, End: s.config.Now(), RequestID: r.id, Action: http.MethodPut, Path: "/n/" + Namespace + "/b/" + s.config.Buckets.Packages + "/o/" + name,
		Operation: "putobject", Object: name, Status: http.StatusOK, ETag: o.ETag, Version: o.Version,
		Principal: r.principal.id(), PrincipalName: "local " + r.principal.kind(), Authentication: r.principal.kind(),
	})
}

// addWrite notes a write, unless a fault loses the entry.
func (s *Server) addWrite(w writelog.Write) {
	f := s.faults.get()
	if !hit(f.LogLose) {
		s.keepWrite(w, time.Duration(f.LogDelay))
	}
}

func (s *Server) keepWrite(w writelog.Write, late time.Duration) {
	if err := s.writes.Add(w, s.config.Now().Add(late)); err != nil {
		s.config.Log.Warn("an entry of the write log is lost", "request", w.RequestID, "error", err.Error())
	}
}

// LoggedWrite is an entry that somebody puts into the write log, as if OCI had.
type LoggedWrite struct {
	ETag             string `json:"etag"`
	VersionID        string `json:"version_id"`
	Principal        string `json:"principal"`
	Authentication   string `json:"authentication"`
	PreAuthenticated bool   `json:"pre_authenticated"`
}

// LogWrite puts an entry into the write log: local OCI has no pre-authenticated requests.
func (s *Server) LogWrite(l LoggedWrite) {
	now := s.config.Now()
	s.keepWrite(writelog.Write{
		Start: now, End: now, RequestID: "local", Action: http.MethodPut, Path: "/p/local/n/" + Namespace + "/b/" + s.config.Buckets.Packages + "/o/local",
		Operation: "putobject", Object: "local", Status: http.StatusOK, ETag: l.ETag, Version: l.VersionID,
		Principal: l.Principal, PrincipalName: "local principal", Authentication: cmp.Or(l.Authentication, "user"), PAR: l.PreAuthenticated, Address: "192.0.2.1",
	}, 0)
}

func (s *Server) makeWrite(w http.ResponseWriter, body []byte) error {
	var l LoggedWrite
	if err := decodeStrict(body, &l); err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	s.LogWrite(l)
	writeJSON(w, http.StatusOK, l)
	return nil
}

// searchLogs is Logging Search over the write log.
func (s *Server) searchLogs(w http.ResponseWriter, r *request, _ route) error {
	body, err := r.body.all()
	if err != nil {
		return err
	}
	query, err := writelog.ParseQuery(body)
	if err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	group := cmp.Or(query.Group, writelog.GroupID)
	if !s.allowed(r, iam.LogContentRead, map[string]string{"target.loggroup.id": group}) {
		return errNotAuthorizedOrNotFound
	}
	if query.Compartment != Compartment || group != writelog.GroupID || cmp.Or(query.Log, writelog.LogID) != writelog.LogID {
		return errNotAuthorizedOrNotFound
	}
	limit := 0
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return apiError{http.StatusBadRequest, "InvalidParameter", "The limit is not a number from 1."}
		}
	}
	page, err := s.writes.Search(query, limit, r.URL.Query().Get("page"), s.config.Now())
	if err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	if page.Next != "" {
		w.Header().Set("Opc-Next-Page", page.Next)
	}
	results := make([]map[string]json.RawMessage, len(page.Results))
	for i, entry := range page.Results {
		results[i] = map[string]json.RawMessage{"data": entry}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"summary": map[string]int{"resultCount": len(results), "fieldCount": 0}, "results": results, "fields": []any{},
	})
	return nil
}
