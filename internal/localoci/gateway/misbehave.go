package gateway

import (
	"net/http"
	"time"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
)

// misbehave serves a request with the faults in force. They do not apply to invocations of the function by events.
func (g *Gateway) misbehave(w http.ResponseWriter, r *Request, operation Operation, serve func(http.ResponseWriter)) {
	f := g.Faults()
	if f.Latency > 0 {
		select {
		case <-time.After(time.Duration(f.Latency)):
		case <-r.Context().Done():
		}
	}
	switch {
	case faults.Hit(f.Throttle):
		g.finish(w, r, answer.New(http.StatusTooManyRequests, "TooManyRequests", "Too many requests for the tenant."))
	case faults.Hit(f.Unavailable):
		g.finish(w, r, answer.New(http.StatusServiceUnavailable, "ServiceUnavailable",
			"The service is temporarily unavailable."))
	case faults.Hit(f.Drop):
		panic(http.ErrAbortHandler)
	case faults.Hit(f.FalseNo) && operation.Missing != nil:
		g.finish(w, r, operation.Missing)
	case faults.Hit(f.LoseAnswer):
		serve(nowhere{http.Header{}})
		panic(http.ErrAbortHandler)
	default:
		serve(w)
	}
}

// nowhere is a writer whose answer is lost.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
