package localoci

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
	"cemli-executor/terraform/modules/events"
)

// VaultID is the one vault of a local OCI.
const VaultID = "ocid1.vault.oc1.phx.cemlilocal"

// secretRecord is a secret with all its versions, the last one last.
type secretRecord struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Versions []secretVersion `json:"versions"`
}

type secretVersion struct {
	Content []byte    `json:"content"`
	Created time.Time `json:"created"`
}

// SecretVersion is a version of a secret, without its content.
type SecretVersion struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version int    `json:"version"`
}

var secretName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,255}$`)

// maxSecret is the most that a secret may hold.
const maxSecret = 25 << 10

// PutSecret makes a secret, or a new version of one, in the vault. A new version is a rotation: its event starts what the
// policy's triggers say.
func (s *Server) PutSecret(name string, content []byte) (SecretVersion, error) {
	if !secretName.MatchString(name) || len(content) == 0 || len(content) > maxSecret {
		return SecretVersion{}, apiError{http.StatusBadRequest, "InvalidParameter", "A secret needs a name of letters, digits, . _ - and a content of at most 25 KB."}
	}
	var made SecretVersion
	now := s.config.Now().UTC()
	err := s.storage.db.Update(func(tx *bolt.Tx) error {
		secret, err := findSecret(tx, "", name)
		if err != nil {
			secret = secretRecord{ID: "ocid1.vaultsecret.oc1.phx." + uuid.NewString(), Name: name}
		}
		secret.Versions = append(secret.Versions, secretVersion{content, now})
		made = SecretVersion{secret.ID, name, len(secret.Versions)}
		if made.Version > 1 {
			about := map[string]any{"resourceName": name, "resourceId": secret.ID}
			if err := recordEvent(tx, events.NewSecretVersion, "VaultSecret", now, about); err != nil {
				return err
			}
		}
		return putRecord(tx, tableSecrets, []byte(name), secret)
	})
	if err == nil {
		s.storage.tell()
	}
	return made, err
}

// HasSecret reports whether the current version of a secret has a content.
func (s *Server) HasSecret(name string, content []byte) bool {
	secret, err := view(s.storage, func(tx *bolt.Tx) (secretRecord, error) { return findSecret(tx, "", name) })
	return err == nil && bytes.Equal(secret.Versions[len(secret.Versions)-1].Content, content)
}

// findSecret finds a secret by its id or its name.
func findSecret(tx *bolt.Tx, id, name string) (secretRecord, error) {
	var found secretRecord
	err := tx.Bucket(tableSecrets).ForEach(func(_, value []byte) error {
		var secret secretRecord
		err := json.Unmarshal(value, &secret)
		if secret.ID == id || name != "" && secret.Name == name {
			found = secret
		}
		return err
	})
	if err == nil && found.ID == "" {
		err = errNotAuthorizedOrNotFound
	}
	return found, err
}

// secretBundle is a version of a secret as it is answered.
type secretBundle struct {
	SecretID      string            `json:"secretId"`
	VersionNumber int               `json:"versionNumber"`
	TimeCreated   time.Time         `json:"timeCreated"`
	Stages        []string          `json:"stages"`
	Content       map[string]string `json:"secretBundleContent"`
}

// getSecret serves a secret by its id, getSecretByName by name and vault.
func (s *Server) getSecret(w http.ResponseWriter, r *request, to route) error {
	return s.answerSecret(w, r, to.object, "")
}

func (s *Server) getSecretByName(w http.ResponseWriter, r *request, _ route) error {
	query := r.URL.Query()
	if _, err := r.body.all(); err != nil {
		return err
	}
	if query.Get("secretName") == "" || query.Get("vaultId") != VaultID {
		return errNotAuthorizedOrNotFound
	}
	return s.answerSecret(w, r, "", query.Get("secretName"))
}

func (s *Server) answerSecret(w http.ResponseWriter, r *request, id, name string) error {
	secret, err := view(s.storage, func(tx *bolt.Tx) (secretRecord, error) { return findSecret(tx, id, name) })
	target := map[string]string{"target.secret.id": secret.ID, "target.secret.name": secret.Name, "target.vault.id": VaultID}
	if !s.allowed(r, iam.SecretBundleRead, target) {
		return errNotAuthorizedOrNotFound
	}
	if err != nil {
		return err
	}
	number, err := secret.version(r.URL.Query().Get("versionNumber"), r.URL.Query().Get("stage"))
	if err != nil {
		return err
	}
	version := secret.Versions[number-1]
	content, err := json.Marshal(version.Content) // base64, in quotes
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, secretBundle{
		SecretID: secret.ID, VersionNumber: number, TimeCreated: version.Created, Stages: secret.stages(number),
		Content: map[string]string{"contentType": "BASE64", "content": string(content[1 : len(content)-1])},
	})
	return nil
}

// version finds the version that is asked for: by number, by stage, or the current one.
func (s secretRecord) version(number, stage string) (int, error) {
	last := len(s.Versions)
	switch {
	case number != "":
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return 0, apiError{http.StatusBadRequest, "InvalidParameter", "The version number is not a number from 1."}
		}
		if n > last {
			return 0, errNotAuthorizedOrNotFound
		}
		return n, nil
	case stage == "" || stage == "CURRENT" || stage == "LATEST":
		return last, nil
	case stage == "PREVIOUS" && last > 1:
		return last - 1, nil
	case stage == "PREVIOUS" || stage == "PENDING" || stage == "DEPRECATED":
		return 0, errNotAuthorizedOrNotFound
	}
	return 0, apiError{http.StatusBadRequest, "InvalidParameter", "The stage is not known."}
}

func (s secretRecord) stages(number int) []string {
	switch len(s.Versions) - number {
	case 0:
		return []string{"CURRENT", "LATEST"}
	case 1:
		return []string{"PREVIOUS"}
	}
	return []string{"DEPRECATED"}
}

// listSecretVersions lists the versions of a secret, the newest first.
func (s *Server) listSecretVersions(w http.ResponseWriter, r *request, to route) error {
	secret, err := view(s.storage, func(tx *bolt.Tx) (secretRecord, error) { return findSecret(tx, to.object, "") })
	if !s.allowed(r, iam.SecretBundleRead, map[string]string{"target.secret.id": secret.ID, "target.secret.name": secret.Name}) {
		return errNotAuthorizedOrNotFound
	}
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for number := len(secret.Versions); number > 0; number-- {
		list = append(list, map[string]any{
			"secretId": secret.ID, "versionNumber": number, "timeCreated": secret.Versions[number-1].Created, "stages": secret.stages(number),
		})
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}
