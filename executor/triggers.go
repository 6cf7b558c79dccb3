package executor

import (
	"context"
	"encoding/json"

	"cemli-executor/internal/evidence"
	"cemli-executor/manifest"
)

// Triggered accepts one request for each entry of the policy's triggers that names the event, in the policy's order.
// arrived tells how the event arrived. RunTriggered runs the requests; a sweep runs those that nobody runs. An error
// says that it could not be found out whether the event triggers anything, or that a request could not be accepted:
// then the event has to be delivered again.
func (e *Executor) Triggered(ctx context.Context, event Event, arrived Request) ([]Request, error) {
	if e.Policy == nil {
		return nil, nil
	}
	policy, _, err := e.Policy.Parse(ctx, e.Environment)
	switch {
	case err != nil || !policy.Awaits(event.Type):
		return nil, err
	case event.Invalid != nil:
		return nil, event.Invalid
	}
	var requests []Request
	for _, t := range policy.Started(event.Type, event.Names) {
		q := arrived
		q.Bucket, q.Object, q.Action, q.OnEvent = e.Packages.Name(), t.Object, ActionApply, true
		q.Parameters, q.Trigger.Kind = values(t.Parameters), TriggerEvent
		if q.Namespace, err = e.Namespace(ctx); err != nil {
			return nil, err
		}
		q.Slot = q.Occurrence(e.Now())
		if _, err := e.Accept(ctx, unreadPending(q, e.Environment), q); err != nil {
			return nil, err
		}
		requests = append(requests, q)
	}
	return requests, nil
}

// RunTriggered runs a request that Triggered has accepted.
func (e *Executor) RunTriggered(ctx context.Context, request Request) ([]evidence.Result, error) {
	results, err := e.Run(ctx, request)
	if err == nil { // it is claimed now, or done
		e.Book.Remove(ctx, unreadPending(request, e.Environment))
	}
	return results, err
}

// values returns parameters in the form that requests have; nil if there are none.
func values(parameters map[string]manifest.Value) map[string]json.RawMessage {
	if len(parameters) == 0 {
		return nil
	}
	given := map[string]json.RawMessage{}
	for name, value := range parameters {
		doc, err := value.MarshalJSON()
		if err != nil {
			panic(err) // it was read from JSON
		}
		given[name] = doc
	}
	return given
}
