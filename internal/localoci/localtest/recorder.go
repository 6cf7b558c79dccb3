package localtest

import "net/http"

// Recorder records the status of an answer, and nothing else.
type Recorder struct {
	Status int
	header http.Header
}

// NewRecorder makes a Recorder.
func NewRecorder() *Recorder { return &Recorder{header: http.Header{}} }

// Header implements http.ResponseWriter; the headers are discarded.
func (r *Recorder) Header() http.Header { return r.header }

// Write discards a part of the body.
func (r *Recorder) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader records the status.
func (r *Recorder) WriteHeader(status int) { r.Status = status }
