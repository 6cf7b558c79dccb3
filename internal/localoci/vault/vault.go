// Package vault is the one vault of a local OCI, with the service that serves its secrets.
package vault

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
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/terraform/modules/events"
)

// ID is the vault's own.
const ID = "ocid1.vault.oc1.phx.cemlilocal"

// secretRecord is a secret with all its versions, oldest first.
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

// maxSecret is the maximal size of a secret.
const maxSecret = 25 << 10

var table = []byte("secrets")

// Tables is the index's table for the vault.
var Tables = [][]byte{table}

// Events records what happens to secrets.
type Events interface {
	// Record stores an event in the transaction of the change itself.
	Record(tx *bolt.Tx, eventType, source string, at time.Time, data map[string]any) error
	// Committed says that a transaction has ended that may have recorded events.
	Committed()
}

// Vault stores secrets and serves them.
type Vault struct {
	gateway.Table
	db     *bolt.DB
	events Events
	now    func() time.Time
}

// New makes the vault on an index that has its table.
func New(db *bolt.DB, events Events, now func() time.Time) *Vault {
	v := &Vault{db: db, events: events, now: now}
	v.Table = gateway.Table{
		{Method: http.MethodPost, Path: gateway.Dated(`/secretbundles/actions/(getByName)`), Handle: v.getByName},
		{Method: http.MethodGet, Path: gateway.Dated(`/secretbundles/([^/]+)`), Handle: v.get},
		{Method: http.MethodGet, Path: gateway.Dated(`/secretbundles/([^/]+)/versions`), Handle: v.listVersions},
	}
	return v
}

// Put stores a secret, or a new version of one. A new version is a rotation, whose event starts what the policy's
// triggers say.
func (v *Vault) Put(name string, content []byte) (SecretVersion, error) {
	if !secretName.MatchString(name) || len(content) == 0 || len(content) > maxSecret {
		return SecretVersion{}, answer.Invalid(
			"A secret needs a name of letters, digits, . _ - and a content of at most 25 KB.",
		)
	}
	var made SecretVersion
	now := v.now().UTC()
	err := v.db.Update(func(tx *bolt.Tx) error {
		secret, err := findSecret(tx, "", name)
		if err != nil {
			secret = secretRecord{ID: "ocid1.vaultsecret.oc1.phx." + uuid.NewString(), Name: name}
		}
		secret.Versions = append(secret.Versions, secretVersion{content, now})
		made = SecretVersion{secret.ID, name, len(secret.Versions)}
		if made.Version > 1 {
			about := map[string]any{"resourceName": name, "resourceId": secret.ID}
			if err := v.events.Record(tx, events.NewSecretVersion, "VaultSecret", now, about); err != nil {
				return err
			}
		}
		return index.Put(tx, table, []byte(name), secret)
	})
	if err == nil {
		v.events.Committed()
	}
	return made, err
}

// Has reports whether the current version of a secret has this content.
func (v *Vault) Has(name string, content []byte) bool {
	secret, err := v.find("", name)
	return err == nil && bytes.Equal(secret.Versions[len(secret.Versions)-1].Content, content)
}

func (v *Vault) find(id, name string) (secretRecord, error) {
	return index.View(v.db, func(tx *bolt.Tx) (secretRecord, error) { return findSecret(tx, id, name) })
}

// findSecret finds a secret by its id or its name.
func findSecret(tx *bolt.Tx, id, name string) (secretRecord, error) {
	var found secretRecord
	err := tx.Bucket(table).ForEach(func(_, value []byte) error {
		var secret secretRecord
		err := json.Unmarshal(value, &secret)
		if secret.ID == id || name != "" && secret.Name == name {
			found = secret
		}
		return err
	})
	if err == nil && found.ID == "" {
		err = answer.NotFound
	}
	return found, err
}

// secretBundle is a version of a secret as answered.
type secretBundle struct {
	SecretID      string            `json:"secretId"`
	VersionNumber int               `json:"versionNumber"`
	TimeCreated   time.Time         `json:"timeCreated"`
	Stages        []string          `json:"stages"`
	Content       map[string]string `json:"secretBundleContent"`
}

// get serves a secret by its id.
func (v *Vault) get(w http.ResponseWriter, r *gateway.Request, id string) error {
	return v.give(w, r, id, "")
}

// getByName serves a secret by its name in the vault.
func (v *Vault) getByName(w http.ResponseWriter, r *gateway.Request, _ string) error {
	query := r.URL.Query()
	if _, err := r.ReadAll(); err != nil {
		return err
	}
	if query.Get("secretName") == "" || query.Get("vaultId") != ID {
		return answer.NotFound
	}
	return v.give(w, r, "", query.Get("secretName"))
}

// give answers with the version of a secret that the query asks for.
func (v *Vault) give(w http.ResponseWriter, r *gateway.Request, id, name string) error {
	secret, err := v.find(id, name)
	target := map[string]string{"target.secret.id": secret.ID, "target.secret.name": secret.Name, "target.vault.id": ID}
	if !r.Allows(iam.SecretBundleRead, target) {
		return answer.NotFound
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
	answer.JSON(w, http.StatusOK, secretBundle{
		SecretID: secret.ID, VersionNumber: number, TimeCreated: version.Created, Stages: secret.stages(number),
		Content: map[string]string{"contentType": "BASE64", "content": string(content[1 : len(content)-1])},
	})
	return nil
}

// version finds the requested version: by number, by stage, or the current one.
func (s secretRecord) version(number, stage string) (int, error) {
	last := len(s.Versions)
	switch {
	case number != "":
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return 0, answer.Invalid("The version number is not a number from 1.")
		}
		if n > last {
			return 0, answer.NotFound
		}
		return n, nil
	case stage == "" || stage == "CURRENT" || stage == "LATEST":
		return last, nil
	case stage == "PREVIOUS" && last > 1:
		return last - 1, nil
	case stage == "PREVIOUS" || stage == "PENDING" || stage == "DEPRECATED":
		return 0, answer.NotFound
	}
	return 0, answer.Invalid("The stage is not known.")
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

// listVersions lists the versions of a secret, newest first.
func (v *Vault) listVersions(w http.ResponseWriter, r *gateway.Request, id string) error {
	secret, err := v.find(id, "")
	target := map[string]string{"target.secret.id": secret.ID, "target.secret.name": secret.Name}
	if !r.Allows(iam.SecretBundleRead, target) {
		return answer.NotFound
	}
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for number := len(secret.Versions); number > 0; number-- {
		list = append(list, map[string]any{
			"secretId": secret.ID, "versionNumber": number, "timeCreated": secret.Versions[number-1].Created,
			"stages": secret.stages(number),
		})
	}
	answer.JSON(w, http.StatusOK, list)
	return nil
}
