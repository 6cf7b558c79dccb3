package localtest

import "net/http"

// Recorder remembers the status of an answer, and nothing else of it.
type Recorder struct {
	Status int
	header http.Header
}

// NewRecorder makes one.
func NewRecorder() *Recorder { return &Recorder{header: http.Header{}} }

// Header is of no use to anybody.
func (r *Recorder) Header() http.Header { return r.header }

// Write takes a part of the body.
func (r *Recorder) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader takes the status.
func (r *Recorder) WriteHeader(status int) { r.Status = status }
