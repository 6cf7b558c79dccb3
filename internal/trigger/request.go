package trigger

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
	"cemli-executor/manifest"
)

// Limits of a request by hand, apart from those of texts.
const (
	// maxSlot bounds once_per: a slot longer than a year is a mistake.
	maxSlot = 366 * 24 * time.Hour
	// maxParameters bounds how many parameters there are.
	maxParameters = 256
	// maxValue bounds the JSON of one parameter, which must fit into an environment variable.
	maxValue = 32 << 10
	// maxProblems bounds how many problems are reported.
	maxProblems = 20
)

// requestKeys are the keys of a request by hand.
var requestKeys = []string{
	"bucket", "object", "etag", "version_id", "action", "parameters", "parameter_set",
	"rerun_of", "resume_from", "rollback_of", "once_per", "force", "request_id", "reason", "reference", "verdict",
	"run_id", "scope",
}

// laterKeys are keys of the contract that this version does not support. They are refused, because their senders rely
// on them.
var laterKeys = []string{
	"not_before", "emergency", "package", "version", "dirhash", "state",
}

// continueKey is the key of the request that the function sends to itself to go on with a pending request.
const continueKey = "continue"

var pendingName = regexp.MustCompile(`^[0-9a-f]{64}-[0-9]{1,9}$`)

// Continue is the request to go on with a pending request.
func Continue(pending string) []byte { return fmt.Appendf(nil, `{%q:%q}`, continueKey, pending) }

// fromItself reads a Continue request.
func (d decoder) fromItself(members map[string]jsontext.Value) Item {
	q := intake.Request{Bucket: d.buckets.Packages, Trigger: intake.Trigger{Kind: intake.TriggerRequest}}
	pending, ok := strictjson.Text(members[continueKey])
	if !ok || len(members) != 1 || !pendingName.MatchString(pending) {
		return Item{
			Request: q,
			Err: refuse("trigger.value", pointer(continueKey),
				"it must be the name of a pending request, and the only key"),
		}
	}
	q.Continue = pending
	return Item{Request: q}
}

// alone maps each action that names no object to the keys that it uses.
var alone = map[intake.Action][]string{
	intake.ActionSweep:  {"action", "reason", "reference"},
	intake.ActionProbe:  {"action", "reason", "reference", "verdict"},
	intake.ActionCancel: {"action", "run_id", "scope", "reason", "reference"},
}

// What a cancel ends besides the run that it names.
const (
	scopeSet     = "set" // nothing
	scopeRequest = "request"
)

// actions are the actions that may be requested.
var actions = []intake.Action{
	intake.ActionApply, intake.ActionDryRun, intake.ActionCheck, intake.ActionRollback, intake.ActionSweep,
	intake.ActionProbe, intake.ActionCancel,
}

// laterActions are actions of the contract that this version does not support.
var laterActions = []intake.Action{"mark"}

var runIDRule = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[a-z0-9][a-z0-9._-]{0,127}$`)

// byHand recognises a request by hand: it has at least one of its keys, or nearly one.
func byHand(members map[string]jsontext.Value) bool {
	if len(members) > maxProblems+len(requestKeys) {
		return slices.ContainsFunc(requestKeys, func(key string) bool { return members[key] != nil })
	}
	for key := range members {
		if slices.Contains(requestKeys, key) || problem.Nearest(key, requestKeys) != "" {
			return true
		}
	}
	return false
}

// fromRequest reads a request by hand and reports everything that is wrong with it.
//
// The default action is apply, whatever the uploader chose by metadata. A request that goes back to a run has no
// default: it takes the action from that run.
func (d decoder) fromRequest(members map[string]jsontext.Value) Item {
	r := reader{members: members}
	r.unknown()
	q := intake.Request{
		Bucket: r.text("bucket", maxName), Object: r.text("object", maxText), ETag: r.text("etag", maxName),
		VersionID:    r.text("version_id", maxName),
		ParameterSet: r.text("parameter_set", maxName), Reason: r.said("reason", maxText),
		Reference: r.said("reference", maxName),
		Back: intake.Back{
			RerunOf: r.runID("rerun_of"), ResumeFrom: r.runID("resume_from"), RollbackOf: r.runID("rollback_of"),
			Force: r.boolean("force"),
		},
		Action: r.action(), OncePer: r.slot(), Parameters: r.parameters(), RequestID: r.said("request_id", maxName),
		Verdict: r.boolean("verdict"),
		Trigger: intake.Trigger{Kind: intake.TriggerRequest},
	}
	if q.Action == "" && !q.GoesBack() {
		q.Action = intake.ActionApply
	}
	if q.Force && q.Reason == "" {
		r.wrong("/reason", "going back past later runs needs a reason")
	}
	if q.Verdict && q.Action != intake.ActionProbe {
		r.wrong("/verdict", "it is for a probe")
	}
	q.Cancel = r.cancel(q)
	switch keys, ok := alone[q.Action]; {
	case ok:
		r.only(q.Action, keys)
	case len(r.problems) == 0:
		if q.Bucket == "" {
			q.Bucket = d.buckets.Packages
		}
		if r.problems = d.buckets.admit(q); len(r.problems) == 0 && q.Object != "" {
			r.problems = checkObject(q.Object)
		}
	}
	return Item{Request: q, Err: problem.Join(r.problems)}
}

// reader reads the members of a request and collects problems.
type reader struct {
	members  map[string]jsontext.Value
	problems []problem.Problem // at most maxProblems
}

func (r *reader) add(problems ...problem.Problem) {
	r.problems = append(r.problems, problems[:min(len(problems), maxProblems-len(r.problems))]...)
}

func (r *reader) wrong(where, message string) {
	r.add(described("trigger.value", where, message))
}

func (r *reader) unknown() {
	for _, key := range slices.Sorted(maps.Keys(r.members)) {
		if slices.Contains(requestKeys, key) {
			continue
		}
		if len(r.problems) == maxProblems {
			return
		}
		if slices.Contains(laterKeys, key) {
			r.add(described("trigger.unsupported", pointer(key), "this version does not support the key "+key))
			continue
		}
		p := described("trigger.unknown_key", pointer(key), "unknown key")
		p.Hint = "the keys are " + strings.Join(requestKeys, ", ")
		if near := problem.Nearest(key, requestKeys); near != "" {
			p.Message, p.Hint = "unknown key; did you mean "+near+"?", "write "+near
		}
		r.add(p)
	}
}

// pointer is the JSON pointer of a member.
func pointer(keys ...string) string {
	var p jsontext.Pointer
	for _, key := range keys {
		p = p.AppendToken(key)
	}
	return clip(p)
}

// text returns a member that is text of at most most bytes; "" if it is absent.
func (r *reader) text(key string, most int) string {
	value, ok := r.members[key]
	if !ok {
		return ""
	}
	s, ok := strictjson.Text(value)
	if !ok {
		r.wrong(pointer(key), "it must be text, in quotes")
		return ""
	}
	if problems := checkText(pointer(key), s, most); problems != nil {
		r.add(problems...)
		return ""
	}
	return s
}

// said is text that, if present, must have a visible character.
func (r *reader) said(key string, most int) string {
	text := r.text(key, most)
	if text != "" && !manifest.Visible(text) {
		r.wrong(pointer(key), "it has no character that can be seen")
		return ""
	}
	return text
}

func (r *reader) boolean(key string) bool {
	value, ok := r.members[key]
	if ok && value.Kind() != 't' && value.Kind() != 'f' {
		r.wrong(pointer(key), "it must be true or false, without quotes")
	}
	return ok && value.Kind() == 't'
}

func (r *reader) runID(key string) string {
	id := r.text(key, maxName)
	if id != "" && !runIDRule.MatchString(id) {
		r.wrong(pointer(key), "it is not a run id; take the run_id of a result")
		return ""
	}
	return id
}

func (r *reader) action() intake.Action {
	action := intake.Action(r.text("action", maxName))
	if slices.Contains(laterActions, action) {
		r.add(described("trigger.unsupported", "/action", "this version does not support the action "+string(action)))
		return ""
	}
	if action != "" && !slices.Contains(actions, action) {
		r.add(described("trigger.action", "/action", fmt.Sprintf("unknown action %.60q", action)))
		return ""
	}
	return action
}

// cancel reads what a cancel ends.
func (r *reader) cancel(q intake.Request) intake.Cancel {
	scope := r.text("scope", maxName)
	c := intake.Cancel{RunID: r.runID("run_id"), WholeRequest: scope == scopeRequest}
	if q.Action != intake.ActionCancel {
		for _, key := range []string{"run_id", "scope"} {
			if r.members[key] != nil && alone[q.Action] == nil {
				r.wrong(pointer(key), "it is for a cancel")
			}
		}
		return c
	}
	if r.members["run_id"] == nil {
		r.wrong("/run_id", "it is missing: name the run that is to be cancelled")
	}
	if q.Reason == "" {
		r.wrong("/reason", "cancelling a run needs a reason")
	}
	if scope != "" && scope != scopeSet && scope != scopeRequest {
		r.wrong("/scope", fmt.Sprintf("%.60q is neither %s nor %s", scope, scopeSet, scopeRequest))
	}
	return c
}

func (r *reader) slot() time.Duration {
	text := r.text("once_per", maxName)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxSlot {
		r.wrong("/once_per", fmt.Sprintf("%.60q is not a duration over 0 and up to %s, like 24h or 15m", text, maxSlot))
		return 0
	}
	return d
}

// only refuses keys that an action without an object would ignore.
func (r *reader) only(action intake.Action, keys []string) {
	for _, key := range requestKeys {
		if r.members[key] != nil && !slices.Contains(keys, key) {
			r.wrong(pointer(key),
				fmt.Sprintf("it is not for a %s, which takes only %s", action, strings.Join(keys[1:], ", ")))
		}
	}
}

// parameters returns the values unchanged; the manifest defines what they must be.
func (r *reader) parameters() map[string]json.RawMessage {
	value, ok := r.members["parameters"]
	if !ok {
		return nil
	}
	members, ok := strictjson.Members(value)
	switch {
	case !ok:
		r.wrong("/parameters", `it must be an object like {"NAME":"value"}`)
		return nil
	case len(members) > maxParameters:
		r.wrong("/parameters", fmt.Sprintf("it has %d parameters; at most %d are allowed", len(members), maxParameters))
		return nil
	}
	parameters := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		r.add(checkParameter(name, members[name])...)
		parameters[name] = json.RawMessage(members[name])
	}
	return parameters
}

func checkParameter(name string, value jsontext.Value) []problem.Problem {
	where := pointer("parameters", name)
	switch value.Kind() {
	case '{', '[', 'n':
		return []problem.Problem{described("trigger.value", where, "it must be text, a number or a boolean")}
	}
	if len(value) > maxValue {
		return []problem.Problem{described("trigger.value", where,
			fmt.Sprintf("it has %d bytes; at most %d are allowed", len(value), maxValue))}
	}
	return checkText(where, name, maxName)
}
