package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// leaveLimit bounds how long the program waits until its last answer is on its way.
const leaveLimit = 10 * time.Second

// leaving is the end of this program where the platform is to start another one.
type leaving struct {
	once sync.Once
	over chan struct{} // closed when the last answer is written; made by begin
}

// begin takes no further call, and lets the one whose context it is end first.
func (l *leaving) begin(ctx context.Context, log *slog.Logger, why error) {
	l.once.Do(func() {
		l.over = make(chan struct{})
		log.Error("the function ends when it has answered, so that a fresh container is started", "error", why.Error())
		server, ok := ctx.Value(http.ServerContextKey).(*http.Server)
		if !ok { // nothing is served
			close(l.over)
			return
		}
		go func() {
			defer close(l.over)
			<-ctx.Done() // the handler has returned
			patience, cancel := context.WithTimeout(context.Background(), leaveLimit)
			defer cancel()
			_ = server.Shutdown(patience) // returns when the answer is written
		}()
	})
}

// wait returns when this program may end, after it has begun to leave. The server stops before its last answer is
// written.
func (l *leaving) wait() {
	l.once.Do(func() { // it did not leave: the server has ended for another reason
		l.over = make(chan struct{})
		close(l.over)
	})
	<-l.over
}
