package evidence

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Uploader is requester.json: who uploaded the package of a run, by OCI's own log of writes to the packages
// bucket. It has no other text of that log than these: no name, no address, nothing that an uploader can write.
type Uploader struct {
	SchemaVersion int    `json:"schema_version"`
	RunID         string `json:"run_id"`
	// ETag and VersionID are those of the upload, as the result has them, by which the entry was found.
	ETag      string `json:"etag"`
	VersionID string `json:"version_id,omitempty"`
	// Found says that the log has an entry of the upload. Where it has none, nothing else is known.
	Found bool `json:"found"`
	// Principal is the OCID of who is said to have uploaded; "" where the entry has none.
	Principal string `json:"principal,omitempty"`
	// Authentication is how that was: one of Authentications.
	Authentication string `json:"authentication,omitempty"`
	// PreAuthenticated says whether it was through a pre-authenticated request, which acts for whoever made it.
	PreAuthenticated *bool     `json:"pre_authenticated,omitempty"`
	Recorded         time.Time `json:"recorded"` // when the log was read
}

// uploaderVersion is the version of the document.
const uploaderVersion = 1

// Authentications are the kinds of authentication that OCI documents, and what any other is called.
var Authentications = []string{"user", "service", "resource", "instance", "other"}

// ocid is the form of identifiers, which no name has.
var ocid = regexp.MustCompile(`^ocid1\.[a-z0-9]+\.[a-z0-9]*\.[A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+$`)

// UploaderObject is the name of the document about who uploaded the package of a run.
func UploaderObject(runID string) string { return Dir(runID) + "requester.json" }

// Identify says who uploaded, as far as what the log says has the form that it is to have: anything else
// is left out.
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
