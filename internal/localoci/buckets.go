package localoci

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

func (s *Server) getNamespace(w http.ResponseWriter, _ *request, _ route) error {
	writeJSON(w, http.StatusOK, Namespace)
	return nil
}

var bucketRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,256}$`)

// bucketDocument is a bucket as it is answered.
type bucketDocument struct {
	Namespace           string            `json:"namespace"`
	Name                string            `json:"name"`
	ID                  string            `json:"id"`
	CompartmentID       string            `json:"compartmentId"`
	CreatedBy           string            `json:"createdBy"`
	TimeCreated         time.Time         `json:"timeCreated"`
	ETag                string            `json:"etag"`
	ObjectEventsEnabled bool              `json:"objectEventsEnabled"`
	PublicAccessType    string            `json:"publicAccessType"`
	StorageTier         string            `json:"storageTier"`
	Versioning          string            `json:"versioning"`
	Metadata            map[string]string `json:"metadata"`
}

func (b bucketRecord) document() bucketDocument {
	return bucketDocument{
		Namespace: Namespace, Name: b.Name, ID: b.ID, CompartmentID: Compartment, CreatedBy: User, TimeCreated: b.Created, ETag: b.ETag,
		ObjectEventsEnabled: b.Events, PublicAccessType: "NoPublicAccess", StorageTier: "Standard", Versioning: "Disabled", Metadata: map[string]string{},
	}
}

func (s *storage) bucket(name string) (bucketRecord, error) {
	return view(s, func(tx *bolt.Tx) (bucketRecord, error) { return getBucket(tx, name) })
}

// bucketRequest is the part of a bucket's description that clients may choose.
type bucketRequest struct {
	Name                string `json:"name"`
	CompartmentID       string `json:"compartmentId"`
	ObjectEventsEnabled *bool  `json:"objectEventsEnabled"`
}

func readBucketRequest(r *request) (bucketRequest, error) {
	var q bucketRequest
	body, err := r.body.all()
	if err != nil {
		return q, err
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	return q, nil
}

func (s *Server) createBucket(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, "", bucketManage); err != nil {
		return err
	}
	q, err := readBucketRequest(r)
	if err != nil {
		return err
	}
	if !bucketRule.MatchString(q.Name) {
		return apiError{http.StatusBadRequest, "InvalidBucketName", "The bucket name is not valid."}
	}
	b, err := s.storage.newBucket(q.Name, q.ObjectEventsEnabled != nil && *q.ObjectEventsEnabled)
	if err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func answerBucket(w http.ResponseWriter, b bucketRecord) {
	w.Header().Set("Etag", b.ETag)
	writeJSON(w, http.StatusOK, b.document())
}

func (s *Server) getBucket(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, to.bucket, objectInspect); err != nil {
		return err
	}
	b, err := s.storage.bucket(to.bucket)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Etag", b.ETag)
		w.WriteHeader(http.StatusOK)
		return nil
	}
	answerBucket(w, b)
	return nil
}

// updateBucket switches events on or off.
func (s *Server) updateBucket(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, to.bucket, bucketManage); err != nil {
		return err
	}
	q, err := readBucketRequest(r)
	if err != nil {
		return err
	}
	var b bucketRecord
	err = s.storage.db.Update(func(tx *bolt.Tx) (err error) {
		if b, err = getBucket(tx, to.bucket); err != nil {
			return err
		}
		if q.ObjectEventsEnabled != nil {
			b.Events = *q.ObjectEventsEnabled
		}
		return putRecord(tx, tableBuckets, []byte(to.bucket), b)
	})
	if err != nil {
		return err
	}
	answerBucket(w, b)
	return nil
}

func (s *Server) deleteBucket(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, to.bucket, bucketManage); err != nil {
		return err
	}
	err := s.storage.db.Update(func(tx *bolt.Tx) error {
		if _, err := getBucket(tx, to.bucket); err != nil {
			return err
		}
		key, _ := tx.Bucket(tableObjects).Cursor().Seek(objectKey(to.bucket, ""))
		if strings.HasPrefix(string(key), to.bucket+"\x00") {
			return errNotEmpty
		}
		return tx.Bucket(tableBuckets).Delete([]byte(to.bucket))
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listBuckets(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, "", bucketManage); err != nil {
		return err
	}
	buckets, err := view(s.storage, func(tx *bolt.Tx) ([]bucketDocument, error) {
		found := []bucketDocument{}
		return found, tx.Bucket(tableBuckets).ForEach(func(_, value []byte) error {
			var b bucketRecord
			err := json.Unmarshal(value, &b)
			found = append(found, b.document())
			return err
		})
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, buckets)
	return nil
}

// listing is a page of names.
type listing struct {
	Objects       []map[string]any `json:"objects"`
	Prefixes      []string         `json:"prefixes,omitempty"`
	NextStartWith string           `json:"nextStartWith,omitempty"`
}

func (s *Server) listObjects(w http.ResponseWriter, r *request, to route) error {
	if err := inNamespace(to); err != nil {
		return err
	}
	if err := s.authorize(r, to.bucket, objectInspect); err != nil {
		return err
	}
	query := r.URL.Query()
	limit := 1000
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return apiError{http.StatusBadRequest, "InvalidParameter", "The limit must be a number from 1 to 1000."}
		}
		limit = n
	}
	delimiter := query.Get("delimiter")
	if delimiter != "" && delimiter != "/" {
		return apiError{http.StatusBadRequest, "InvalidParameter", "The only delimiter is /."}
	}
	l := lister{prefix: query.Get("prefix"), end: query.Get("end"), after: query.Get("startAfter"), delimiter: delimiter, limit: limit, fields: fieldsOf(query.Get("fields"))}
	l.page.Objects = []map[string]any{}
	if err := s.storage.scan(to.bucket, max(l.prefix, query.Get("start"), l.after), l.visit); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, l.page)
	return nil
}

func fieldsOf(text string) []string {
	if text == "" {
		return []string{"name"}
	}
	return strings.Split(text, ",")
}

// lister collects one page.
type lister struct {
	prefix, end, after, delimiter string
	limit                         int
	fields                        []string
	page                          listing
}

// visit takes one object, in order of names; it returns false when the page is full.
func (l *lister) visit(name string, o objectRecord) bool {
	if !strings.HasPrefix(name, l.prefix) {
		return name < l.prefix
	}
	if name == l.after && l.after != "" {
		return true
	}
	if l.end != "" && name >= l.end {
		return false
	}
	folder := ""
	if l.delimiter != "" {
		if i := strings.Index(name[len(l.prefix):], l.delimiter); i >= 0 {
			folder = name[:len(l.prefix)+i+1]
		}
	}
	if n := len(l.page.Prefixes); folder != "" && n > 0 && l.page.Prefixes[n-1] == folder {
		return true
	}
	if len(l.page.Objects)+len(l.page.Prefixes) == l.limit {
		l.page.NextStartWith = name
		return false
	}
	if folder != "" {
		l.page.Prefixes = append(l.page.Prefixes, folder)
	} else {
		l.page.Objects = append(l.page.Objects, o.listed(name, l.fields))
	}
	return true
}

// listed is an object in a listing: its name and the fields that were asked for.
func (o objectRecord) listed(name string, fields []string) map[string]any {
	all := map[string]any{
		"size": o.Size, "etag": o.ETag, "md5": o.MD5, "timeCreated": o.Created, "timeModified": o.Created,
		"storageTier": "Standard", "archivalState": nil,
	}
	found := map[string]any{"name": name}
	for _, field := range fields {
		if value, ok := all[strings.TrimSpace(field)]; ok && value != nil {
			found[strings.TrimSpace(field)] = value
		}
	}
	return found
}
