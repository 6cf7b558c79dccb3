package functions

import (
	"context"
	"net/http"
	"time"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/gateway"
)

// carry carries a client's call to the function and its answer back, with what goes wrong on purpose on that way.
func (s *Service) carry(w http.ResponseWriter, r *gateway.Request, f Function, call Invocation) error {
	wrong := s.config.Faults().Calls(f.Called)
	switch {
	case faults.Hit(wrong.CallThrottle):
		return answer.New(http.StatusTooManyRequests, "TooManyRequests", "Too many concurrent invocations")
	case faults.Hit(wrong.CallFail):
		return answer.New(http.StatusServiceUnavailable, "ServiceUnavailable",
			"The service is temporarily unavailable.")
	}
	times := faults.Times(wrong.CallDuplicate)
	if faults.Hit(wrong.CallLose) {
		times = 0
	}
	if call.Detached {
		for range times {
			s.later(wrong, f, call)
		}
		breaks(wrong.CallLoseAnswer)
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	if times == 0 {
		breaks(1)
	}
	for range times - 1 {
		s.later(wrong, f, call)
	}
	said, err := s.deliver(r.Context(), wrong, f, call)
	breaks(wrong.CallLoseAnswer)
	return give(w, said, err)
}

// breaks breaks the connection with this probability.
func breaks(rate float64) {
	if faults.Hit(rate) {
		panic(http.ErrAbortHandler)
	}
}

// later delivers a call for which nobody waits. It outlives the request, and ends with the service.
func (s *Service) later(wrong faults.Faults, f Function, call Invocation) {
	s.detached.Go(func() { _, _ = s.deliver(s.ctx, wrong, f, call) }) // the log is told
}

// deliver calls the function, late if the faults say so: then it is called even if who waits has gone meanwhile.
func (s *Service) deliver(ctx context.Context, wrong faults.Faults, f Function, call Invocation) (Answer, error) {
	if wrong.CallDelay > 0 {
		ctx = s.ctx
		select {
		case <-time.After(time.Duration(wrong.CallDelay)):
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return s.invoke(ctx, f, call)
}
