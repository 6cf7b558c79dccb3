package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/loggingsearch"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// WriteLog identifies the log of a bucket's writes, by OCIDs.
type WriteLog struct{ Compartment, Group, Log string }

// query is the only query that is ever sent; it contains no text from an entry.
func (l WriteLog) query() string {
	return fmt.Sprintf(`search "%s/%s/%s" | sort by datetime asc`, l.Compartment, l.Group, l.Log)
}

// LoggedWrite is what is read of an entry of a write log: nothing that an uploader can choose, no name and no
// address.
type LoggedWrite struct {
	Time             time.Time
	Bucket           string
	ETag, VersionID  string
	Principal        string
	Authentication   string
	PreAuthenticated bool
}

// Bounds of one page of a log.
const (
	logEntries = 100
	logBytes   = 8 << 20 // an entry has the object's name and the uploader's user agent
)

// Writes reads a page of the writes that created objects between two times, earliest first; next is empty on the last
// page. The service takes ranges of at most 14 days.
func (c *Client) Writes(
	ctx context.Context, l WriteLog, from, to time.Time, page string,
) (writes []LoggedWrite, next string, err error) {
	request := loggingsearch.SearchLogsRequest{
		SearchLogsDetails: loggingsearch.SearchLogsDetails{
			TimeStart:   &common.SDKTime{Time: from.UTC().Truncate(time.Millisecond)},
			TimeEnd:     &common.SDKTime{Time: to.UTC().Truncate(time.Millisecond)},
			SearchQuery: common.String(l.query()),
		},
		Limit: common.Int(logEntries),
	}
	if page != "" {
		request.Page = &page
	}
	answer, err := c.searchLogs(ctx, request)
	if err != nil {
		return nil, "", writeLogError(l, err)
	}
	for _, result := range answer.Results {
		w, ok, err := readEntry(result.Data)
		if err != nil {
			return nil, "", writeLogError(l, err)
		}
		if ok {
			writes = append(writes, w)
		}
	}
	return writes, value(answer.OpcNextPage), nil
}

// searchLogs sends a search. It does not repeat a search whose answer was too large.
func (c *Client) searchLogs(
	ctx context.Context, request loggingsearch.SearchLogsRequest,
) (answer loggingsearch.SearchLogsResponse, err error) {
	bound := &boundedBodies{next: c.http.Transport}
	_, err = c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := loggingsearch.NewLogSearchClientWithConfigurationProvider(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		client := *c.http
		client.Transport = bound
		api.HTTPClient = &client
		answer, err = api.SearchLogs(ctx, request)
		if bound.over {
			return nil
		}
		return err
	})
	if bound.over {
		err = errTooMuch
	}
	return answer, err
}

var errTooMuch = fmt.Errorf("a page of it has more than %d bytes", logBytes)

// boundedBodies ends bodies that are longer than a page may be. Only one call at a time may use it.
type boundedBodies struct {
	next http.RoundTripper
	over bool
}

func (b *boundedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, b, logBytes}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	of   *boundedBodies
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		b.of.over = true
		return 0, errTooMuch
	}
	return n, err
}

// entry is an entry of the log as the service answers it, as far as it is read.
type entry struct {
	DateTime   flexible `json:"datetime"` // milliseconds
	LogContent struct {
		Time string `json:"time"`
		Data struct {
			BucketName         string   `json:"bucketName"`
			ETag               string   `json:"eTag"`
			PrincipalID        string   `json:"principalId"`
			AuthenticationType string   `json:"authenticationType"`
			IsPar              flexible `json:"isPar"`
			StatusCode         flexible `json:"statusCode"`
			RequestAction      string   `json:"requestAction"`
			ResourcePath       string   `json:"requestResourcePath"`
			AdditionalDetails  struct {
				VersionID string `json:"versionId"`
			} `json:"additionalDetails"`
		} `json:"data"`
	} `json:"logContent"`
}

// flexible is a number, a boolean or a text: the documentation does not say which one a field is.
type flexible string

// UnmarshalJSON takes any of them.
func (f *flexible) UnmarshalJSON(doc []byte) error {
	*f = flexible(strings.Trim(string(doc), `"`))
	return nil
}

// readEntry reads an entry; ok is false unless the entry is of a write that created an object.
func readEntry(data *any) (w LoggedWrite, ok bool, err error) {
	if data == nil {
		return w, false, nil
	}
	doc, err := json.Marshal(*data)
	if err != nil {
		return w, false, fmt.Errorf("encode entry: %w", err)
	}
	var e entry
	if err := json.Unmarshal(doc, &e); err != nil {
		return w, false, errors.New("an entry has another form than OCI documents") // its text must not be quoted
	}
	d := e.LogContent.Data
	w = LoggedWrite{
		Time: e.time(), Bucket: d.BucketName, ETag: strings.Trim(d.ETag, `"`), VersionID: d.AdditionalDetails.VersionID,
		Principal: d.PrincipalID, Authentication: strings.ToLower(d.AuthenticationType),
		PreAuthenticated: strings.EqualFold(string(d.IsPar), "true"),
	}
	made := d.StatusCode == "" || strings.HasPrefix(string(d.StatusCode), "2")
	return w, made && makes(d.RequestAction, d.ResourcePath), nil
}

// time is the entry's time; zero if it cannot be read.
func (e entry) time() time.Time {
	if at, err := strconv.ParseInt(string(e.DateTime), 10, 64); err == nil {
		return time.UnixMilli(at).UTC()
	}
	at, _ := time.Parse(time.RFC3339Nano, e.LogContent.Time)
	return at
}

// makes reports whether a request may create an object. The ids in an entry do not tell: deleting a version also has
// a version's id, and moving an object to another tier has its ETag.
func makes(action, path string) bool {
	switch strings.ToUpper(action) {
	case http.MethodPut:
		return true
	case http.MethodPost:
		parts := strings.SplitN(path, "/", 8) // "", n, NAMESPACE, b, BUCKET, actions, WHAT
		return len(parts) < 7 || parts[5] != "actions" || parts[6] == "copyObject" || parts[6] == "renameObject"
	}
	return false
}

func writeLogError(l WriteLog, err error) error {
	status, code := serviceAnswer(err)
	switch {
	case errors.Is(err, errCredentials):
		return err
	case status == 0 || passing(status):
		return store.Error(store.ErrUnavailable, "read", "write log", l.Log, brief(err))
	}
	return problem.New(problem.Problem{
		Code: "config.write_log", Where: l.Log,
		Message: fmt.Sprintf("the write log of the packages bucket cannot be read: %d %s", status, code),
		Hint:    codes.Of("config.write_log").Cure,
	}, brief(err))
}
