package evidence

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Uploader is requester.json: who uploaded the package of a run, according to OCI's own log of writes to the packages
// bucket. It has no other text of that log than these fields: no name, no address, nothing that an uploader can
// choose.
type Uploader struct {
	SchemaVersion int    `json:"schema_version"`
	RunID         string `json:"run_id"`
	// ETag and VersionID are those of the upload in the result, by which the log entry was found.
	ETag      string `json:"etag"`
	VersionID string `json:"version_id,omitempty"`
	// Found says that the log has an entry of the upload. If it has none, nothing else is known.
	Found bool `json:"found"`
	// Principal is the OCID of the uploader; "" if the entry has none.
	Principal string `json:"principal,omitempty"`
	// Authentication is how the uploader was authenticated: one of Authentications.
	Authentication string `json:"authentication,omitempty"`
	// PreAuthenticated says whether the upload used a pre-authenticated request, which acts for the person who made
	// it.
	PreAuthenticated *bool     `json:"pre_authenticated,omitempty"`
	Recorded         time.Time `json:"recorded"` // when the log was read
}

// uploaderVersion is the version of the document.
const uploaderVersion = 1

// Authentications are the kinds of authentication that OCI documents, and the word for any other.
var Authentications = []string{"user", "service", "resource", "instance", "other"}

// ocid is the form of identifiers, which no name has.
var ocid = regexp.MustCompile(`^ocid1\.[a-z0-9]+\.[a-z0-9]*\.[A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+$`)

// UploaderObject is the name of the document about who uploaded the package of a run.
func UploaderObject(runID string) string { return Dir(runID) + "requester.json" }

// Identify sets the uploader, as far as the log's values have the documented form. It leaves out everything else.
func (u *Uploader) Identify(principal, authentication string, preAuthenticated bool) {
	u.Found, u.PreAuthenticated = true, &preAuthenticated
	if len(principal) <= 255 && ocid.MatchString(principal) {
		u.Principal = principal
	}
	u.Authentication = authentication
	if !slices.Contains(Authentications, authentication) {
		u.Authentication = "other"
	}
}

// Encode returns the document.
func (u Uploader) Encode() ([]byte, error) {
	u.SchemaVersion = uploaderVersion
	doc, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode requester: %w", err)
	}
	return append(doc, '\n'), nil
}
