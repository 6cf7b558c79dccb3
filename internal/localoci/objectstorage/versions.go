package objectstorage

import (
	"bytes"
	"encoding/base64"
	"net/http"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// versionListing is a page of versions.
type versionListing struct {
	Items    []map[string]any `json:"items"`
	Prefixes []string         `json:"prefixes"`
}

// listVersions lists the versions of the objects of a bucket, by name, the newest first.
func (a objectAPI) listVersions(w http.ResponseWriter, r *gateway.Request, to target) error {
	l, err := newLister(r.URL.RawQuery)
	if err != nil {
		return err
	}
	from := buckets.KeyOf(to.bucket, l.from)
	if page := r.URL.Query().Get("page"); page != "" {
		key, err := base64.RawURLEncoding.DecodeString(page)
		if err != nil || bytes.Compare(key, from) < 0 {
			return answer.Invalid("The page is not one that was answered.")
		}
		from = key
	}
	if err := a.Buckets.Versions(to.bucket, from, func(key buckets.Key, name string, o buckets.Object) bool {
		return l.visit(name, string(key), func() map[string]any { return listedVersion(o, name, l.fields) })
	}); err != nil {
		return err
	}
	if l.next != "" {
		w.Header().Set("Opc-Next-Page", base64.RawURLEncoding.EncodeToString([]byte(l.next)))
	}
	answer.JSON(w, http.StatusOK, versionListing{l.items, l.folders})
	return nil
}

// listedVersion is a version in a listing. Its time and id are always included.
func listedVersion(o buckets.Object, name string, fields []string) map[string]any {
	found := map[string]any{"name": name}
	if !o.Marker {
		found = listed(o, name, fields)
	}
	found["versionId"], found["isDeleteMarker"], found["timeModified"] = o.Version, o.Marker, o.Created
	return found
}
