package pipeline

import (
	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
)

// Answers to requests that the invocation makes no run of, or not now. They leave no evidence.

// Refused is the answer to a request that could not become a run.
func (e *Engine) Refused(request intake.Request, err error) evidence.Result {
	r := e.begin(request)
	r.conclude(err)
	return r.result
}

// Later is the answer to a request that goes on later.
func (e *Engine) Later(request intake.Request, why string) evidence.Result {
	r := e.begin(request)
	if request.Continue == "" {
		r.key()
	}
	return r.goesOnLater(why)
}

// Duplicate is the answer to a request that another run has done, or is doing.
func (e *Engine) Duplicate(request intake.Request, other claim.Claim) evidence.Result {
	r := e.begin(request)
	if request.Continue == "" {
		r.key()
	}
	return r.isDuplicate(other)
}

// LastError is what a claim keeps of a failure, so that the result can tell it; nil of none.
func LastError(failure error) *problem.Problem {
	if failure == nil {
		return nil
	}
	described := problem.Of(failure, problem.Problem{Code: codes.Internal, Message: "the executor could not do its work"})
	return &problem.Problem{Code: described.Code(), Message: evidence.Cut(described.Message(), 1000)}
}
