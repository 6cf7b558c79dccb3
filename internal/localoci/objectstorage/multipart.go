package objectstorage

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// Limits of a multipart upload.
const (
	maxParts   = 10_000
	maxUploads = 1000 // on a page of a list
)

// uploadAPI serves requests to multipart uploads.
type uploadAPI struct {
	Config
	uploads buckets.Uploads
}

func (a uploadAPI) routes() part {
	return part{
		all: byMethod{
			http.MethodGet: {a.list, needs(iam.BucketRead)},
			// Beginning an upload also needs the permission to overwrite, as on OCI.
			http.MethodPost: {a.create, needs(iam.ObjectCreate, iam.ObjectOverwrite)},
		},
		one: byMethod{
			http.MethodPut:    {a.put, nil},
			http.MethodGet:    {a.listParts, needs(iam.ObjectInspect)},
			http.MethodPost:   {a.commit, needs(iam.ObjectCreate, iam.ObjectOverwrite)},
			http.MethodDelete: {a.abort, needs(iam.ObjectDelete)},
		},
	}
}

// uploadID names the upload that a request is about.
func uploadID(r *gateway.Request, to target) buckets.UploadID {
	return buckets.UploadID{Bucket: to.bucket, Object: to.object, ID: r.URL.Query().Get("uploadId")}
}

// uploadRequest describes the object that an upload is to create.
type uploadRequest struct {
	Object, ContentType, ContentLanguage, ContentEncoding, ContentDisposition, CacheControl string

	Metadata map[string]string
}

// header is the headers of a PutObject for the same object.
func (q uploadRequest) header() http.Header {
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
	return header
}

// trimMeta removes the prefix that some clients put before names of metadata.
func trimMeta(name string) string {
	const prefix = "opc-meta-"
	if len(name) > len(prefix) && name[:len(prefix)] == prefix {
		return name[len(prefix):]
	}
	return name
}

// create begins a multipart upload.
func (a uploadAPI) create(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q uploadRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if q.Object == "" || checkName(q.Object) != nil {
		return invalidName("The object name is not valid.")
	}
	header := q.header()
	metadata, err := metadataOf(header)
	if err != nil {
		return err
	}
	u := buckets.Upload{
		ID: uuid.NewString(), Object: q.Object, Created: a.Now().UTC(), Headers: keptHeaders(header),
		Metadata:    metadata,
		IfNoneMatch: r.Header.Get("If-None-Match") == "*", IfMatch: r.Header.Get("If-Match"),
	}
	if err := a.uploads.Begin(to.bucket, u); err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, describeUpload(u, to.bucket))
	return nil
}

// describeUpload is an upload as answered.
func describeUpload(u buckets.Upload, bucket string) map[string]any {
	return map[string]any{
		"namespace": tenancy.Namespace, "bucket": bucket, "object": u.Object, "uploadId": u.ID,
		"timeCreated": u.Created, "storageTier": "Standard",
	}
}

// put stores one part, and replaces a part of the same number.
func (a uploadAPI) put(w http.ResponseWriter, r *gateway.Request, to target) error {
	number, err := strconv.Atoi(r.URL.Query().Get("uploadPartNum"))
	if err != nil || number < 1 || number > maxParts {
		return invalidPart("The part number must be from 1 to 10000.")
	}
	if err := a.putable(r, to); err != nil {
		return err
	}
	id := uploadID(r, to)
	if err := a.uploads.Has(id); err != nil {
		return err
	}
	sums := newChecksums(r.Header)
	blob, size, err := a.Buckets.Write(io.TeeReader(r.Body, sums))
	if err != nil {
		return err
	}
	if err := checkBody(r, size, sums); err != nil {
		a.Buckets.Discard(blob)
		return err
	}
	p := buckets.Part{Blob: blob, Number: number, Size: size, MD5: sums.md5(), ETag: uuid.NewString()}
	if err := a.uploads.PutPart(id, p); err != nil {
		return err
	}
	w.Header().Set("Etag", p.ETag)
	w.Header().Set("Opc-Content-Md5", p.MD5)
	for name, value := range sums.answered() {
		w.Header().Set(name, value)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// list lists the uploads of a bucket that are in progress.
func (a uploadAPI) list(w http.ResponseWriter, _ *gateway.Request, to target) error {
	uploads, err := a.uploads.List(to.bucket, maxUploads)
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, u := range uploads {
		list = append(list, describeUpload(u, to.bucket))
	}
	answer.JSON(w, http.StatusOK, list)
	return nil
}

// listParts lists the parts of an upload so far.
func (a uploadAPI) listParts(w http.ResponseWriter, r *gateway.Request, to target) error {
	_, parts, err := a.uploads.Get(uploadID(r, to))
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, p := range parts {
		list = append(list, map[string]any{"partNumber": p.Number, "etag": p.ETag, "md5": p.MD5, "size": p.Size})
	}
	answer.JSON(w, http.StatusOK, list)
	return nil
}

func (a uploadAPI) abort(w http.ResponseWriter, r *gateway.Request, to target) error {
	if err := a.uploads.Abort(uploadID(r, to)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// commitRequest names the parts of the object.
type commitRequest struct {
	PartsToCommit []struct {
		PartNum int    `json:"partNum"`
		ETag    string `json:"etag"`
	} `json:"partsToCommit"`
	PartsToExclude []int `json:"partsToExclude"`
}

// choose finds the parts that a commit names, in order. Each uploaded part must be named, either to be committed or
// to be excluded.
func (q commitRequest) choose(parts []buckets.Part) ([]buckets.Part, error) {
	var chosen []buckets.Part
	for _, wanted := range q.PartsToCommit {
		i := slices.IndexFunc(parts, func(p buckets.Part) bool { return p.Number == wanted.PartNum })
		if i < 0 || parts[i].ETag != wanted.ETag {
			return nil, invalidPart(fmt.Sprintf("The part %d was not uploaded, or has another ETag.", wanted.PartNum))
		}
		chosen = append(chosen, parts[i])
	}
	slices.SortFunc(chosen, func(a, b buckets.Part) int { return a.Number - b.Number })
	for i, p := range chosen {
		if i > 0 && chosen[i-1].Number == p.Number {
			return nil, invalidPart(fmt.Sprintf("The part %d is named twice.", p.Number))
		}
	}
	if len(chosen) == 0 {
		return nil, invalidPart("No part is named.")
	}
	if len(chosen)+len(q.PartsToExclude) < len(parts) {
		return nil, invalidPart("Every part that was uploaded must be committed or excluded.")
	}
	return chosen, nil
}

func invalidPart(message string) error {
	return answer.New(http.StatusBadRequest, "InvalidUploadPart", message)
}

// commit makes the object of the parts.
func (a uploadAPI) commit(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q commitRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	id := uploadID(r, to)
	u, parts, err := a.uploads.Get(id)
	if err != nil {
		return err
	}
	chosen, err := q.choose(parts)
	if err != nil {
		return err
	}
	o, err := a.uploads.Commit(id, buckets.Change{
		Bucket: to.bucket, Name: to.object,
		IfNoneMatch: u.IfNoneMatch || r.Header.Get("If-None-Match") == "*",
		IfMatch:     cmp.Or(r.Header.Get("If-Match"), u.IfMatch),
	}, u, chosen)
	if err != nil {
		return err
	}
	a.Observe("upload", to.bucket+"/"+to.object)
	w.Header().Set("Opc-Multipart-Md5", o.MD5)
	describeWritten(w.Header(), o)
	w.WriteHeader(http.StatusOK)
	return nil
}
