package intake

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"cemli-executor/manifest"
)

// The run key is the idempotency key of a request: all requests that mean the same execution have the same key,
// however often and in whatever form they arrive. It is made of what the request names, of what the uploader chose
// by the object's metadata, and of the occurrence, which distinguishes intended repetitions. The run id, which
// people see, ends with the first digits of the key.

// Key returns the run key: the same for all requests that mean the same execution. It is the SHA-256 of the parts as a
// JSON array, so that different lists of parts never look alike. The slot has to be fixed. A request of an event has
// one key whatever version of the object exists.
func (q Request) Key(environment string) string {
	action, etag, parameters := q.Action, q.ETag, q.Parameters
	setDefault(&action, ActionApply)
	if q.OnEvent {
		etag = ""
	}
	if len(parameters) == 0 {
		parameters = nil // as it is when it is read back, without an empty member
	}
	parts, err := json.Marshal([]any{
		q.Namespace, q.Bucket, q.Object, etag, action, q.ParameterSet, parameters, environment, q.Slot,
	})
	if err != nil {
		panic(err) // parameters are valid JSON: the trigger has parsed them
	}
	return fmt.Sprintf("%x", sha256.Sum256(parts))
}

// Occurrence distinguishes intended repetitions of a request; it is empty for uploads.
func (q Request) Occurrence(at time.Time) string {
	if q.Slot != "" {
		return q.Slot
	}
	switch {
	case q.PreviousRun() != "" && q.RequestID != "":
		return Occasion(q.WayBack(), q.PreviousRun(), "request_id", q.RequestID)
	case q.PreviousRun() != "" && q.Force:
		return Occasion(q.WayBack(), q.PreviousRun(), "reason", q.Reason, "force")
	case q.PreviousRun() != "":
		return Occasion(q.WayBack(), q.PreviousRun(), "reason", q.Reason)
	case q.OnEvent:
		return Occasion("event", q.Trigger.EventID)
	case q.OncePer > 0:
		return "once_per " + at.UTC().Truncate(q.OncePer).Format(time.RFC3339Nano)
	case q.RequestID != "":
		return Occasion("request_id", q.RequestID)
	}
	return ""
}

// Occasion joins words so that different lists of words never look alike.
func Occasion(words ...string) string {
	doc, err := json.Marshal(words)
	if err != nil {
		panic(err) // they are strings
	}
	return string(doc)
}

// PreviousRun returns the run that the request goes back to; "" if it goes back to none.
func (q Request) PreviousRun() string { return cmp.Or(q.ResumeFrom, q.RollbackOf, q.RerunOf) }

// GoesBack reports whether the request goes back to an earlier run, from which it takes everything that it does not
// name.
func (q Request) GoesBack() bool { return q.PreviousRun() != "" }

// WayBack returns the key with which the request names the earlier run.
func (q Request) WayBack() string {
	switch {
	case q.ResumeFrom != "":
		return "resume_from"
	case q.RollbackOf != "":
		return "rollback_of"
	}
	return "rerun_of"
}

// RefusedForm returns the occurrence of a request whose form may not ask for its action. This gives it a key of its
// own, so that its refusal does not stand for the same upload in another form.
func RefusedForm(kind TriggerKind) string { return Occasion("refused form", PolicyKind(kind)) }

// KeyByForm gives a request that arrived at a time a key of its own if the policy does not let its form ask for the
// action.
func (q *Request) KeyByForm(policy *manifest.Policy, action string, at time.Time) {
	if policy != nil && q.Occurrence(at) == "" && !policy.Allows(PolicyKind(q.Trigger.Kind), action) {
		q.Slot = RefusedForm(q.Trigger.Kind)
	}
}
