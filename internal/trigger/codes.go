package trigger

import (
	"cmp"
	"slices"

	"cemli-executor/internal/problem"
)

// refusal is one kind of refusal: its stable code, what leads to it and what to do.
type refusal struct{ Code, Cause, Cure string }

// codes are all that this package refuses with.
var codes = []refusal{
	{"trigger.action", "action is a word that is not known", "use one of apply, dry_run, check, rollback, sweep"},
	{"trigger.ambiguous", "parts of an event name different objects, or it has its data twice", "send the event as its source made it"},
	{"trigger.batch", "an array has no items or more than 100", "send 1 to 100 items at once"},
	{"trigger.bucket", "the object is not in the packages bucket of the executor's namespace, or is in the results or state bucket", "upload the package to the packages bucket; check the rule that sends these events"},
	{"trigger.duplicate_key", "a key occurs twice in one JSON object", "keep one of the two"},
	{"trigger.empty", "nothing was sent", `send an event, or {"object":"NAME.zip"}`},
	{"trigger.event", "an event lacks an attribute, or has one that cannot be read", "compare it with an event of Object Storage"},
	{"trigger.event_version", "an event says no version, or is neither of version 0.1 of OCI Events nor a CloudEvents 1.0 event", `send it as OCI does, or as a CloudEvent with "specversion":"1.0"`},
	{"trigger.incomplete", "no bucket or no object is named", "name the object to run"},
	{"trigger.not_json", "what was sent is not JSON in UTF-8, or more than one value", "check the text that was sent; a shell may have taken its quotes"},
	{"trigger.object", "the object's name is empty, too long, or has empty, . or .. segments or control characters", "rename the object and upload it again"},
	{"trigger.too_deep", "the JSON is nested more than 64 deep", "send only the keys that a request has"},
	{"trigger.too_large", "more than 6 MB were sent", "send fewer items at once"},
	{"trigger.unknown_form", "the JSON is neither an event, nor a request by hand, nor an array of these", `by hand, send {"object":"NAME.zip"}`},
	{"trigger.unknown_key", "a request by hand has a key that does not exist", "correct the key or leave it out"},
	{"trigger.unsupported", "a request by hand has a key or an action that this version does not support", "leave it out, or use an executor that supports it"},
	{"trigger.value", "a value is of the wrong type, too long, has control characters or breaks its key's rule", "correct the value"},
}

// described makes the problem of a code, with what to do about it.
func described(code, where, message string) problem.Problem {
	at, ok := slices.BinarySearchFunc(codes, code, func(c refusal, code string) int { return cmp.Compare(c.Code, code) })
	if !ok {
		panic("trigger: not a code: " + code)
	}
	return problem.Problem{Code: code, Where: where, Message: message, Hint: codes[at].Cure}
}

func refuse(code, where, message string) error {
	return problem.New(described(code, where, message), nil)
}

func refuseFor(cause error, code, where, message string) error {
	return problem.New(described(code, where, message), cause)
}

// clip keeps a place that a stranger's key is part of short enough to show.
func clip[T ~string](where T) string {
	if runes := []rune(string(where)); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return string(where)
}
