package executor

import (
	"context"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// Run serves a request: it makes one run, or one per parameter set of the package if the request names none, and then
// the runs whose turn that makes possible. A request that cannot be ended now is answered with StatusInProgress and
// served by another invocation. The context's deadline is the moment at which the process may be killed; a run ends
// earlier by the reserve.
func (e *Executor) Run(ctx context.Context, request Request) ([]evidence.Result, error) {
	w := e.startWork(ctx)
	request.VersionNamed = request.VersionID != "" && request.Trigger.Kind == TriggerRequest
	serve := w.serve
	if request.Continue != "" {
		serve = w.resume
	}
	results, err := serve(ctx, request)
	w.drain(ctx, request.CallID) // not deferred: in a panic no other run begins
	return results, err
}

// resume serves a request that an earlier invocation accepted. If it is done by now, the answer is that it is a
// duplicate.
func (w *work) resume(ctx context.Context, request Request) ([]evidence.Result, error) {
	if held, err := w.left(ctx, request.Continue); held != nil || err != nil {
		return w.goOnWith(ctx, held, request, err)
	}
	accepted, ok, err := w.reload(ctx, request.Continue, request.CallID)
	if err != nil {
		return []evidence.Result{w.Refused(request, err)}, err
	}
	if ok {
		accepted.Continued = true
		return w.serveWithIntent(ctx, request.Continue, accepted)
	}
	claimed, err := w.Book.Find(ctx, claim.KeyOf(request.Continue))
	switch {
	case err != nil:
		return []evidence.Result{w.Refused(request, err)}, err
	case claimed == nil:
		err := problem.New(problem.Problem{
			Code: "state.unknown", Where: request.Continue, Message: "no such request was accepted here",
			Hint: "name the package and what is to be done with it",
		}, nil)
		return []evidence.Result{w.Refused(request, err)}, nil
	}
	return []evidence.Result{w.Duplicate(request, claimed.Claim)}, nil
}

// goOnWith goes on with a run whose steps are apart.
func (w *work) goOnWith(
	ctx context.Context, held *claim.Held, request Request, err error,
) ([]evidence.Result, error) {
	if err != nil {
		return []evidence.Result{w.Refused(request, err)}, err
	}
	result, err := w.goOn(ctx, held, request.CallID)
	return []evidence.Result{result}, err
}
