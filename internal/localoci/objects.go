package localoci

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"cemli-executor/internal/iam"
)

// maxPut is the most that one PutObject may bring, 50 GiB.
const maxPut = 50 << 30

// kept are the headers of an object that are answered as they were put.
var kept = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control"}

// checkName refuses what cannot be an object's name.
func checkName(name string) error {
	if len(name) > 1024 || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n") {
		return apiError{http.StatusBadRequest, "InvalidObjectName", "The object name is not valid."}
	}
	return nil
}

// inNamespace refuses other tenancies' namespaces.
func inNamespace(to route) error {
	if to.ns != Namespace {
		return apiError{http.StatusNotFound, "NamespaceNotFound", fmt.Sprintf("You do not have authorization to perform this request, or the namespace '%s' could not be found.", to.ns)}
	}
	return nil
}

func (s *Server) putObject(w http.ResponseWriter, r *request, to route) error {
	if err := s.putable(r, to); err != nil {
		return err
	}
	metadata, err := metadataOf(r.Header)
	if err != nil {
		return err
	}
	sums := newChecksums(r.Header)
	blob, size, err := s.storage.write(io.TeeReader(r.body, sums))
	if err != nil {
		if r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
			return apiError{http.StatusBadRequest, "IncompleteBody", "The request body ended too soon."}
		}
		return err
	}
	o := objectRecord{Blob: blob, Size: size, MD5: sums.md5(), Metadata: metadata, Headers: keptHeaders(r.Header), Sums: sums.answered()}
	if err := checkBody(r, o, sums); err != nil {
		s.storage.discard(blob)
		return err
	}
	o, err = s.storage.put(change{
		bucket: to.bucket, name: to.object, ifNoneMatch: r.Header.Get("If-None-Match") == "*", ifMatch: r.Header.Get("If-Match"),
		allow: func(exists bool) error {
			if exists {
				return s.authorize(r, to.bucket, iam.ObjectOverwrite)
			}
			return s.authorize(r, to.bucket, iam.ObjectCreate)
		},
	}, o)
	if err != nil {
		return err
	}
	s.observe("upload", to.bucket+"/"+to.object, nil)
	h := w.Header()
	for name, value := range o.Sums {
		h.Set(name, value)
	}
	h.Set("Etag", o.ETag)
	h.Set("Opc-Content-Md5", o.MD5)
	h.Set("Last-Modified", o.Created.Format(http.TimeFormat))
	h.Set("Version-Id", o.Version)
	w.WriteHeader(http.StatusOK)
	return nil
}

// putable checks what can be checked before the body is read.
func (s *Server) putable(r *request, to route) error {
	if err := checkName(to.object); err != nil {
		return err
	}
	if err := s.authorize(r, to.bucket, iam.ObjectCreate); err != nil {
		return err
	}
	if match := r.Header.Get("If-None-Match"); match != "" && match != "*" {
		return apiError{http.StatusBadRequest, "InvalidParameter", "If-None-Match must be *."}
	}
	switch {
	case r.ContentLength < 0:
		return apiError{http.StatusLengthRequired, "MissingContentLength", "The Content-Length header is missing."}
	case r.ContentLength > maxPut:
		return apiError{http.StatusRequestEntityTooLarge, "EntityTooLarge", "The object is larger than 50 GiB; use a multipart upload."}
	}
	_, err := s.storage.bucket(to.bucket)
	return err
}

// checkBody compares the body with every checksum that came with it.
func checkBody(r *request, o objectRecord, sums *checksums) error {
	if o.Size != r.ContentLength {
		return apiError{http.StatusBadRequest, "IncompleteBody", "The request body ended too soon."}
	}
	if err := r.body.done(); err != nil {
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
			return nil, apiError{http.StatusBadRequest, "InvalidParameter", "Each opc-meta- header must have a name and occur once."}
		}
		metadata[name] = values[0]
		size += len(name) + len(values[0])
	}
	if size > maxMetadata {
		return nil, apiError{http.StatusBadRequest, "MetadataTooLarge", "The metadata is larger than 4,000 bytes."}
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

// getObject serves GET and HEAD.
func (s *Server) getObject(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.ObjectRead); err != nil {
		return err
	}
	f, o, err := s.storage.open(to.bucket, to.object, r.URL.Query().Get("versionId"))
	if err != nil {
		return err
	}
	defer f.Close()
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != o.ETag {
		return errIfMatch
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

// sendObject answers an object's bytes, or the range of them that was asked for.
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

func describeObject(h http.Header, o objectRecord) {
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

// parseRange reads a Range header with a single range. One that is malformed is
// ignored, as RFC 9110 says; one that begins past the end cannot be satisfied.
func parseRange(header string, size int64) (from, length int64, partial bool, err error) {
	whole := func() (int64, int64, bool, error) { return 0, size, false, nil }
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return whole()
	}
	unsatisfiable := apiError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", fmt.Sprintf("The range %s is not satisfiable; the object has %d bytes.", header, size)}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return whole()
		}
		if n == 0 || size == 0 {
			return 0, 0, false, unsatisfiable
		}
		n = min(n, size)
		return size - n, n, true, nil
	}
	from, err = strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return whole()
	}
	to := size - 1
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return whole()
		}
		to = min(to, n)
	}
	if from >= size {
		return 0, 0, false, unsatisfiable
	}
	return from, to - from + 1, true, nil
}

func (s *Server) deleteObject(w http.ResponseWriter, r *request, to route) error {
	c := change{
		bucket: to.bucket, name: to.object, ifMatch: r.Header.Get("If-Match"),
		allow: func(bool) error { return s.authorize(r, to.bucket, iam.ObjectDelete) },
	}
	if version := r.URL.Query().Get("versionId"); version != "" {
		c.allow = func(bool) error { return s.authorize(r, to.bucket, iam.VersionDelete) }
		if err := s.storage.deleteVersion(c, version); err != nil {
			return err
		}
		w.Header().Set("Version-Id", version)
	} else {
		marker, err := s.storage.delete(c)
		if err != nil {
			return err
		}
		if marker.Marker {
			w.Header().Set("Version-Id", marker.Version)
			w.Header().Set("Is-Delete-Marker", "true")
		}
		s.observe("delete", to.bucket+"/"+to.object, nil)
	}
	w.Header().Set("Last-Modified", s.config.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
