package localoci

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- the MD5 of multipart uploads is part of the interface
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

// Bounds of a multipart upload.
const (
	maxParts   = 10_000
	maxUploads = 1000 // that a page lists
)

// uploadRecord is a multipart upload under way. Its parts are records of their own.
type uploadRecord struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Created     time.Time         `json:"created"`
	IfNoneMatch bool              `json:"ifNoneMatch,omitempty"`
	IfMatch     string            `json:"ifMatch,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// partRecord is one part.
type partRecord struct {
	Blob   string `json:"blob"`
	Number int    `json:"number"`
	Size   int64  `json:"size"`
	MD5    string `json:"md5"`
	ETag   string `json:"etag"`
}

var errNoUpload = apiError{http.StatusNotFound, "NoSuchUpload", "The multipart upload was not found."}

func uploadKey(bucket, id string) []byte { return objectKey(bucket, id) }

func partKey(upload string, number int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(upload), 0), uint32(number)) // #nosec G115 -- 1 to 10,000
}

// getUpload reads an upload of an object.
func getUpload(tx *bolt.Tx, bucket, object, id string) (uploadRecord, error) {
	var u uploadRecord
	if _, err := getBucket(tx, bucket); err != nil {
		return u, err
	}
	value := tx.Bucket(tableUploads).Get(uploadKey(bucket, id))
	if value == nil {
		return u, errNoUpload
	}
	if err := json.Unmarshal(value, &u); err != nil {
		return u, err
	}
	if u.Object != object {
		return u, errNoUpload
	}
	return u, nil
}

// partsOf reads the parts of an upload, in order.
func partsOf(tx *bolt.Tx, id string) ([]partRecord, error) {
	list := []partRecord{}
	prefix := append([]byte(id), 0)
	cursor := tx.Bucket(tableParts).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		var p partRecord
		if err := json.Unmarshal(value, &p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// createUpload begins a multipart upload. It needs the permission to overwrite as well,
// as on OCI.
func (s *Server) createUpload(w http.ResponseWriter, r *request, to route) error {
	for _, needed := range []iam.Permission{iam.ObjectCreate, iam.ObjectOverwrite} {
		if err := s.authorize(r, to.bucket, needed); err != nil {
			return err
		}
	}
	body, err := r.body.all()
	if err != nil {
		return err
	}
	var q struct {
		Object, ContentType, ContentLanguage, ContentEncoding, ContentDisposition, CacheControl string

		Metadata map[string]string
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	if err := checkName(q.Object); err != nil || q.Object == "" {
		return apiError{http.StatusBadRequest, "InvalidObjectName", "The object name is not valid."}
	}
	header := http.Header{}
	for name, value := range map[string]string{
		"Content-Type": q.ContentType, "Content-Language": q.ContentLanguage, "Content-Encoding": q.ContentEncoding,
		"Content-Disposition": q.ContentDisposition, "Cache-Control": q.CacheControl,
	} {
		header.Set(name, value)
	}
	for name, value := range q.Metadata {
		header.Set("Opc-Meta-"+trimMeta(name), value)
	}
	metadata, err := metadataOf(header)
	if err != nil {
		return err
	}
	u := uploadRecord{
		ID: uuid.NewString(), Object: q.Object, Created: s.config.Now().UTC(), Headers: keptHeaders(header), Metadata: metadata,
		IfNoneMatch: r.Header.Get("If-None-Match") == "*", IfMatch: r.Header.Get("If-Match"),
	}
	err = s.storage.db.Update(func(tx *bolt.Tx) error {
		c := change{bucket: to.bucket, name: q.Object, ifNoneMatch: u.IfNoneMatch, ifMatch: u.IfMatch, allow: func(bool) error { return nil }}
		c.now = u.Created
		if _, _, err := c.check(tx); err != nil {
			return err
		}
		return putRecord(tx, tableUploads, uploadKey(to.bucket, u.ID), u)
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, u.document(to.bucket))
	return nil
}

// trimMeta takes the prefix off that some clients put before names of metadata.
func trimMeta(name string) string {
	const prefix = "opc-meta-"
	if len(name) > len(prefix) && name[:len(prefix)] == prefix {
		return name[len(prefix):]
	}
	return name
}

func (u uploadRecord) document(bucket string) map[string]any {
	return map[string]any{
		"namespace": Namespace, "bucket": bucket, "object": u.Object, "uploadId": u.ID, "timeCreated": u.Created, "storageTier": "Standard",
	}
}

// putPart stores one part; a part of the same number is replaced.
func (s *Server) putPart(w http.ResponseWriter, r *request, to route) error {
	number, err := strconv.Atoi(r.URL.Query().Get("uploadPartNum"))
	if err != nil || number < 1 || number > maxParts {
		return apiError{http.StatusBadRequest, "InvalidUploadPart", "The part number must be from 1 to 10000."}
	}
	if err := s.putable(r, to); err != nil {
		return err
	}
	id := r.URL.Query().Get("uploadId")
	if _, err := view(s.storage, func(tx *bolt.Tx) (uploadRecord, error) { return getUpload(tx, to.bucket, to.object, id) }); err != nil {
		return err
	}
	sums := newChecksums(r.Header)
	blob, size, err := s.storage.write(io.TeeReader(r.body, sums))
	if err != nil {
		return err
	}
	if err := checkBody(r, objectRecord{Size: size}, sums); err != nil {
		s.storage.discard(blob)
		return err
	}
	p := partRecord{Blob: blob, Number: number, Size: size, MD5: sums.md5(), ETag: uuid.NewString()}
	var old partRecord
	err = s.storage.db.Update(func(tx *bolt.Tx) error {
		if _, err := getUpload(tx, to.bucket, to.object, id); err != nil {
			return err
		}
		if value := tx.Bucket(tableParts).Get(partKey(id, number)); value != nil {
			if err := json.Unmarshal(value, &old); err != nil {
				return err
			}
		}
		return putRecord(tx, tableParts, partKey(id, number), p)
	})
	if err != nil {
		return err // the next start removes the file
	}
	s.storage.discard(old.Blob)
	w.Header().Set("Etag", p.ETag)
	w.Header().Set("Opc-Content-Md5", p.MD5)
	for name, value := range sums.answered() {
		w.Header().Set(name, value)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// listUploads lists the uploads of a bucket that are under way.
func (s *Server) listUploads(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.BucketRead); err != nil {
		return err
	}
	list, err := view(s.storage, func(tx *bolt.Tx) ([]map[string]any, error) {
		if _, err := getBucket(tx, to.bucket); err != nil {
			return nil, err
		}
		list := []map[string]any{}
		prefix := uploadKey(to.bucket, "")
		cursor := tx.Bucket(tableUploads).Cursor()
		for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix) && len(list) < maxUploads; key, value = cursor.Next() {
			var u uploadRecord
			if err := json.Unmarshal(value, &u); err != nil {
				return nil, err
			}
			list = append(list, u.document(to.bucket))
		}
		return list, nil
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// listParts lists the parts of an upload that have arrived.
func (s *Server) listParts(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectInspect); err != nil {
		return err
	}
	id := r.URL.Query().Get("uploadId")
	parts, err := view(s.storage, func(tx *bolt.Tx) ([]partRecord, error) {
		if _, err := getUpload(tx, to.bucket, to.object, id); err != nil {
			return nil, err
		}
		return partsOf(tx, id)
	})
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, p := range parts {
		list = append(list, map[string]any{"partNumber": p.Number, "etag": p.ETag, "md5": p.MD5, "size": p.Size})
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// dropUpload forgets an upload and its parts, in a transaction; the parts' files are
// left to the caller.
func dropUpload(tx *bolt.Tx, bucket, id string) ([]partRecord, error) {
	parts, err := partsOf(tx, id)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := tx.Bucket(tableParts).Delete(partKey(id, p.Number)); err != nil {
			return nil, err
		}
	}
	return parts, tx.Bucket(tableUploads).Delete(uploadKey(bucket, id))
}

func (s *Server) abortUpload(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectDelete); err != nil {
		return err
	}
	id := r.URL.Query().Get("uploadId")
	var parts []partRecord
	err := s.storage.db.Update(func(tx *bolt.Tx) (err error) {
		if _, err := getUpload(tx, to.bucket, to.object, id); err != nil {
			return err
		}
		parts, err = dropUpload(tx, to.bucket, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		s.storage.discard(p.Blob)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// commitRequest names the parts that make the object.
type commitRequest struct {
	PartsToCommit []struct {
		PartNum int    `json:"partNum"`
		ETag    string `json:"etag"`
	} `json:"partsToCommit"`
	PartsToExclude []int `json:"partsToExclude"`
}

// choose finds the parts that a commit names, in order. Each that arrived must be named,
// to be committed or to be left out.
func (q commitRequest) choose(parts []partRecord) ([]partRecord, error) {
	var chosen []partRecord
	for _, wanted := range q.PartsToCommit {
		i := slices.IndexFunc(parts, func(p partRecord) bool { return p.Number == wanted.PartNum })
		if i < 0 || parts[i].ETag != wanted.ETag {
			return nil, apiError{http.StatusBadRequest, "InvalidUploadPart", fmt.Sprintf("The part %d was not uploaded, or has another ETag.", wanted.PartNum)}
		}
		chosen = append(chosen, parts[i])
	}
	slices.SortFunc(chosen, func(a, b partRecord) int { return a.Number - b.Number })
	for i, p := range chosen {
		if i > 0 && chosen[i-1].Number == p.Number {
			return nil, apiError{http.StatusBadRequest, "InvalidUploadPart", fmt.Sprintf("The part %d is named twice.", p.Number)}
		}
	}
	if len(chosen) == 0 {
		return nil, apiError{http.StatusBadRequest, "InvalidUploadPart", "No part is named."}
	}
	if len(chosen)+len(q.PartsToExclude) < len(parts) {
		return nil, apiError{http.StatusBadRequest, "InvalidUploadPart", "Every part that was uploaded must be committed or excluded."}
	}
	return chosen, nil
}

// commitUpload makes the object of the parts.
func (s *Server) commitUpload(w http.ResponseWriter, r *request, to route) error {
	for _, needed := range []iam.Permission{iam.ObjectCreate, iam.ObjectOverwrite} {
		if err := s.authorize(r, to.bucket, needed); err != nil {
			return err
		}
	}
	body, err := r.body.all()
	if err != nil {
		return err
	}
	var q commitRequest
	if err := json.Unmarshal(body, &q); err != nil {
		return apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	id := r.URL.Query().Get("uploadId")
	var u uploadRecord
	parts, err := view(s.storage, func(tx *bolt.Tx) (_ []partRecord, err error) {
		if u, err = getUpload(tx, to.bucket, to.object, id); err != nil {
			return nil, err
		}
		return partsOf(tx, id)
	})
	if err != nil {
		return err
	}
	chosen, err := q.choose(parts)
	if err != nil {
		return err
	}
	o, err := s.storage.join(chosen)
	if err != nil {
		return err
	}
	o.Headers, o.Metadata = u.Headers, u.Metadata
	c := change{
		bucket: to.bucket, name: to.object, allow: func(bool) error { return nil },
		ifNoneMatch: u.IfNoneMatch || r.Header.Get("If-None-Match") == "*", ifMatch: cmpOr(r.Header.Get("If-Match"), u.IfMatch),
	}
	if o, err = s.storage.commit(c, id, o); err != nil {
		return err
	}
	s.observe("upload", to.bucket+"/"+to.object, nil)
	h := w.Header()
	h.Set("Etag", o.ETag)
	h.Set("Opc-Multipart-Md5", o.MD5)
	h.Set("Last-Modified", o.Created.Format(http.TimeFormat))
	h.Set("Version-Id", o.Version)
	w.WriteHeader(http.StatusOK)
	return nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// join copies the parts into one file. The MD5 is that of the parts' MD5s, with their
// number.
func (s *storage) join(parts []partRecord) (objectRecord, error) {
	sum := md5.New() // #nosec G401 -- see the import
	var files []io.Reader
	for _, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.MD5)
		if err != nil {
			return objectRecord{}, err
		}
		_, _ = sum.Write(raw) // hashes do not fail
		files = append(files, &lazyFile{path: s.blob(p.Blob)})
	}
	blob, size, err := s.write(io.MultiReader(files...))
	return objectRecord{
		Blob: blob, Size: size, MD5: fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sum.Sum(nil)), len(parts)),
	}, err
}

// lazyFile is opened when it is first read, and closed at its end: an upload can have
// more parts than a process open files.
type lazyFile struct {
	path string
	file *os.File
}

func (f *lazyFile) Read(p []byte) (int, error) {
	if f.file == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return 0, err
		}
		f.file = file
	}
	n, err := f.file.Read(p)
	if err != nil {
		_ = f.file.Close()
	}
	return n, err
}

// commit puts the joined file in place of an upload, in one transaction.
func (s *storage) commit(c change, id string, o objectRecord) (objectRecord, error) {
	var old objectRecord
	var parts []partRecord
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		if _, err = getUpload(tx, c.bucket, c.name, id); err != nil {
			return err
		}
		if old, err = s.putIn(tx, c, &o); err != nil {
			return err
		}
		parts, err = dropUpload(tx, c.bucket, id)
		return err
	})
	if err != nil {
		s.discard(o.Blob)
		return o, err
	}
	for _, p := range parts {
		s.discard(p.Blob)
	}
	s.replaced(old)
	return o, nil
}
