package logging

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// WriteLog is the log's name in the function's configuration.
const WriteLog = tenancy.Compartment + "/" + GroupID + "/" + LogID

// Write is what is logged about a request, apart from who sent it.
type Write struct {
	Start, End    time.Time
	Bucket        string
	Action, Path  string // of HTTP
	Operation     string // such as putobject
	Object        string
	Status        int
	ErrorCode     string
	ETag, Version string
	Address       string
	UserAgent     string
}

// Config configures the service. All fields are required.
type Config struct {
	DB       *bolt.DB // the index, with the table
	Bucket   string   // the bucket whose writes are logged
	BucketID string
	Faults   func() faults.Faults // returns those in force
	Now      func() time.Time
	Log      *slog.Logger
}

// Service is the Logging service.
type Service struct {
	gateway.Table
	config Config
	log    *log
}

// Open opens the service.
func Open(config Config) (*Service, error) {
	log, err := openLog(config.DB, config.BucketID)
	if err != nil {
		return nil, err
	}
	s := &Service{config: config, log: log}
	s.Table = gateway.Table{{
		Method: http.MethodPost, Path: regexp.MustCompile(`^/(20\d{6})/search$`), Handle: s.search,
	}}
	return s, nil
}

// Note logs a request if it was to the bucket, unless a fault loses the entry.
func (s *Service) Note(r *gateway.Request, w Write) {
	f := s.config.Faults()
	if w.Bucket != s.config.Bucket || faults.Hit(f.LogLose) {
		return
	}
	s.keep(Entry{
		Write: w, RequestID: r.ID, Principal: r.Principal.ID(),
		PrincipalName: "local " + r.Principal.Kind(), Authentication: r.Principal.Kind(),
		PAR: r.PreAuthenticated,
	}, time.Duration(f.LogDelay))
}

func (s *Service) keep(e Entry, late time.Duration) {
	if err := s.log.add(e, s.config.Now().Add(late)); err != nil {
		s.config.Log.Warn("an entry of the write log is lost", "request", e.RequestID, "error", err.Error())
	}
}

// LoggedWrite is an entry that people add to the log.
type LoggedWrite struct {
	ETag             string `json:"etag"`
	VersionID        string `json:"version_id"`
	Principal        string `json:"principal"`
	Authentication   string `json:"authentication"`
	PreAuthenticated bool   `json:"pre_authenticated"`
}

// Put puts an entry into the log, of an upload by somebody whom this tenancy does not have.
func (s *Service) Put(l LoggedWrite) {
	now := s.config.Now()
	s.keep(Entry{
		Write: Write{
			Start: now, End: now, Bucket: s.config.Bucket, Action: http.MethodPut,
			Path:      "/p/local/n/" + tenancy.Namespace + "/b/" + s.config.Bucket + "/o/local",
			Operation: "putobject", Object: "local", Status: http.StatusOK, ETag: l.ETag, Version: l.VersionID,
			Address: "192.0.2.1",
		},
		RequestID: "local", Principal: l.Principal, PrincipalName: "local principal",
		Authentication: cmp.Or(l.Authentication, "user"), PAR: l.PreAuthenticated,
	}, 0)
}

// search is Logging Search over the log.
func (s *Service) search(w http.ResponseWriter, r *gateway.Request, _ string) error {
	body, err := r.ReadAll()
	if err != nil {
		return err
	}
	query, err := ParseQuery(body)
	if err != nil {
		return answer.Invalid(err.Error())
	}
	group := cmp.Or(query.Group, GroupID)
	if !r.Allows(iam.LogContentRead, map[string]string{"target.loggroup.id": group}) {
		return answer.NotFound
	}
	if query.Compartment != tenancy.Compartment || group != GroupID || cmp.Or(query.Log, LogID) != LogID {
		return answer.NotFound
	}
	limit := 0
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return answer.Invalid("The limit is not a number from 1.")
		}
	}
	page, err := s.log.search(query, limit, r.URL.Query().Get("page"), s.config.Now())
	if err != nil {
		return answer.Invalid(err.Error())
	}
	answerPage(w, page)
	return nil
}

// answerPage answers with a page in OCI's form.
func answerPage(w http.ResponseWriter, page Page) {
	if page.Next != "" {
		w.Header().Set("Opc-Next-Page", page.Next)
	}
	results := make([]map[string]json.RawMessage, len(page.Results))
	for i, entry := range page.Results {
		results[i] = map[string]json.RawMessage{"data": entry}
	}
	answer.JSON(w, http.StatusOK, map[string]any{
		"summary": map[string]int{"resultCount": len(results), "fieldCount": 0}, "results": results, "fields": []any{},
	})
}
