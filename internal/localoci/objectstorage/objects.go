package objectstorage

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// objectAPI serves requests to objects and to their versions.
type objectAPI struct{ Config }

func (a objectAPI) routes() part {
	return part{
		all: byMethod{http.MethodGet: {a.list, needs(iam.ObjectInspect)}},
		one: byMethod{
			http.MethodPut:    {a.put, nil},
			http.MethodGet:    {a.get, needs(iam.ObjectRead)},
			http.MethodHead:   {a.get, needs(iam.ObjectRead)},
			http.MethodDelete: {a.delete, nil},
		},
	}
}

// maxPut is the largest body of one PutObject, 50 GiB.
const maxPut = 50 << 30

// kept are the headers of an object that are answered as they were sent.
var kept = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control"}

// checkName refuses an invalid object name.
func checkName(name string) error {
	if len(name) > 1024 || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n") {
		return invalidName("The object name is not valid.")
	}
	return nil
}

func invalidName(message string) error {
	return answer.New(http.StatusBadRequest, "InvalidObjectName", message)
}

func (a objectAPI) put(w http.ResponseWriter, r *gateway.Request, to target) error {
	if err := a.putable(r, to); err != nil {
		return err
	}
	metadata, err := metadataOf(r.Header)
	if err != nil {
		return err
	}
	sums := newChecksums(r.Header)
	blob, size, err := a.Buckets.Write(io.TeeReader(r.Body, sums))
	if err != nil {
		if r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
			return answer.New(http.StatusBadRequest, "IncompleteBody", "The request body ended too soon.")
		}
		return err
	}
	o := buckets.Object{
		Blob: blob, Size: size, MD5: sums.md5(), Metadata: metadata, Headers: keptHeaders(r.Header),
		Sums: sums.answered(),
	}
	if err := checkBody(r, size, sums); err != nil {
		a.Buckets.Discard(blob)
		return err
	}
	o, err = a.Buckets.Put(buckets.Change{
		Bucket: to.bucket, Name: to.object, IfNoneMatch: r.Header.Get("If-None-Match") == "*",
		IfMatch: r.Header.Get("If-Match"),
		Allow:   createOrOverwrite(r, to.bucket),
	}, o)
	if err != nil {
		return err
	}
	a.Observe("upload", to.bucket+"/"+to.object)
	for name, value := range o.Sums {
		w.Header().Set(name, value)
	}
	w.Header().Set("Opc-Content-Md5", o.MD5)
	describeWritten(w.Header(), o)
	w.WriteHeader(http.StatusOK)
	return nil
}

// putable checks what can be checked before the body is read.
func (c Config) putable(r *gateway.Request, to target) error {
	if err := checkName(to.object); err != nil {
		return err
	}
	if err := authorize(r, to.bucket, iam.ObjectCreate); err != nil {
		return err
	}
	if match := r.Header.Get("If-None-Match"); match != "" && match != "*" {
		return answer.Invalid("If-None-Match must be *.")
	}
	switch {
	case r.ContentLength < 0:
		return answer.New(http.StatusLengthRequired, "MissingContentLength", "The Content-Length header is missing.")
	case r.ContentLength > maxPut:
		return answer.New(http.StatusRequestEntityTooLarge, "EntityTooLarge",
			"The object is larger than 50 GiB; use a multipart upload.")
	}
	_, err := c.Buckets.Bucket(to.bucket)
	return err
}

// checkBody compares the body with every checksum that came with it.
func checkBody(r *gateway.Request, size int64, sums *checksums) error {
	if size != r.ContentLength {
		return answer.New(http.StatusBadRequest, "IncompleteBody", "The request body ended too soon.")
	}
	if err := r.Body.Check(); err != nil {
		return err
	}
	return sums.match(r.Header)
}

// maxMetadata is the most that all metadata of an object may take.
const maxMetadata = 4000

func metadataOf(header http.Header) (map[string]string, error) {
	metadata := map[string]string{}
	size := 0
	for key, values := range header {
		name, ok := strings.CutPrefix(strings.ToLower(key), "opc-meta-")
		if !ok {
			continue
		}
		if name == "" || len(values) != 1 {
			return nil, answer.Invalid("Each opc-meta- header must have a name and occur once.")
		}
		metadata[name] = values[0]
		size += len(name) + len(values[0])
	}
	if size > maxMetadata {
		return nil, answer.New(http.StatusBadRequest, "MetadataTooLarge", "The metadata is larger than 4,000 bytes.")
	}
	return metadata, nil
}

func keptHeaders(header http.Header) map[string]string {
	found := map[string]string{"Content-Type": "application/octet-stream"}
	for _, name := range kept {
		if value := header.Get(name); value != "" {
			found[name] = value
		}
	}
	return found
}

// get serves GET and HEAD.
func (a objectAPI) get(w http.ResponseWriter, r *gateway.Request, to target) error {
	f, o, err := a.Buckets.Open(to.bucket, to.object, r.URL.Query().Get("versionId"))
	if err != nil {
		return err
	}
	defer f.Close()
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != o.ETag {
		return buckets.ErrIfMatch
	}
	describeObject(w.Header(), o)
	if r.Header.Get("If-None-Match") == o.ETag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.FormatInt(o.Size, 10))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	return sendObject(w, f, r.Header.Get("Range"), o.Size)
}

// sendObject answers with an object's bytes, or with the requested range.
func sendObject(w http.ResponseWriter, f io.ReaderAt, wanted string, size int64) error {
	from, length, partial, err := parseRange(wanted, size)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+length-1, size))
	}
	w.WriteHeader(status)
	_, _ = io.Copy(w, io.NewSectionReader(f, from, length)) // a client that is gone needs no answer
	return nil
}

func describeObject(h http.Header, o buckets.Object) {
	for name, value := range o.Headers {
		h.Set(name, value)
	}
	for name, value := range o.Metadata {
		h.Set("Opc-Meta-"+name, value)
	}
	h.Set("Etag", o.ETag)
	if strings.Contains(o.MD5, "-") {
		h.Set("Opc-Multipart-Md5", o.MD5)
	} else {
		h.Set("Content-Md5", o.MD5)
	}
	for name, value := range o.Sums {
		h.Set(name, value)
	}
	h.Set("Last-Modified", o.Created.Format(http.TimeFormat))
	h.Set("Version-Id", o.Version)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Storage-Tier", "Standard")
}

// delete deletes an object, or one version of it for good.
func (a objectAPI) delete(w http.ResponseWriter, r *gateway.Request, to target) error {
	c := buckets.Change{Bucket: to.bucket, Name: to.object, IfMatch: r.Header.Get("If-Match")}
	var err error
	if version := r.URL.Query().Get("versionId"); version != "" {
		c.Allow = func(bool) error { return authorize(r, to.bucket, iam.VersionDelete) }
		err = a.deleteVersion(w, c, version)
	} else {
		c.Allow = func(bool) error { return authorize(r, to.bucket, iam.ObjectDelete) }
		err = a.deleteNewest(w, c)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Last-Modified", a.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a objectAPI) deleteVersion(w http.ResponseWriter, c buckets.Change, version string) error {
	if err := a.Buckets.DeleteVersion(c, version); err != nil {
		return err
	}
	w.Header().Set("Version-Id", version)
	return nil
}

func (a objectAPI) deleteNewest(w http.ResponseWriter, c buckets.Change) error {
	marker, err := a.Buckets.Delete(c)
	if err != nil {
		return err
	}
	if marker.Marker {
		w.Header().Set("Version-Id", marker.Version)
		w.Header().Set("Is-Delete-Marker", "true")
	}
	a.Observe("delete", c.Bucket+"/"+c.Name)
	return nil
}
