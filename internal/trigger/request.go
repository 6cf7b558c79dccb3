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

	"cemli-executor/executor"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// requestKeys are the keys of a request by hand.
var requestKeys = []string{
	"bucket", "object", "etag", "version_id", "action", "parameters", "parameter_set",
	"rerun_of", "resume_from", "rollback_of", "once_per", "reason", "reference",
}

// manual recognises a request by hand: any of its keys.
func manual(members map[string]jsontext.Value) bool {
	return slices.ContainsFunc(requestKeys, func(key string) bool { return members[key] != nil })
}

// actions are the words for what may be asked.
var actions = []executor.Action{
	executor.ActionApply, executor.ActionDryRun, executor.ActionCheck, executor.ActionRollback, executor.ActionSweep,
}

// maxSlot bounds once_per: a slot longer than a year is a mistake.
const maxSlot = 366 * 24 * time.Hour

var runIDRule = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[a-z0-9][a-z0-9._-]{0,127}$`)

// fromRequest reads a request by hand and reports everything that is wrong with it.
func fromRequest(members map[string]jsontext.Value, buckets Buckets) Item {
	r := reader{members: members}
	r.unknown()
	q := executor.Request{
		Bucket: r.text("bucket", 256), Object: r.text("object", maxText), ETag: r.text("etag", 256), VersionID: r.text("version_id", 256),
		ParameterSet: r.text("parameter_set", 256), Reason: r.text("reason", maxText), Reference: r.text("reference", 256),
		RerunOf: r.runID("rerun_of"), ResumeFrom: r.runID("resume_from"), RollbackOf: r.runID("rollback_of"),
		Action: r.action(), OncePer: r.slot(), Parameters: r.parameters(),
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	if q.Action == executor.ActionSweep {
		if q.Bucket != "" || q.Object != "" {
			r.wrong("/action", "a sweep names no object", "leave bucket and object out")
		}
		return Item{Request: q, Err: problem.Join(r.problems)}
	}
	if q.Bucket == "" {
		q.Bucket = buckets.Packages
	}
	if err := problem.Join(r.problems); err != nil {
		return Item{Request: q, Err: err}
	}
	return Item{Request: q, Err: checkObject(q)}
}

// reader reads the members of a request and collects what is wrong.
type reader struct {
	members  map[string]jsontext.Value
	problems []problem.Problem
}

func (r *reader) wrong(where, message, hint string) {
	r.problems = append(r.problems, problem.Problem{Code: "trigger.value", Where: where, Message: message, Hint: hint})
}

func (r *reader) unknown() {
	for _, key := range slices.Sorted(maps.Keys(r.members)) {
		if slices.Contains(requestKeys, key) {
			continue
		}
		hint := "the keys are " + strings.Join(requestKeys, ", ")
		if near := problem.Nearest(key, requestKeys); near != "" {
			hint = "did you mean " + near + "?"
		}
		r.problems = append(r.problems, problem.Problem{Code: "trigger.unknown_key", Where: fmt.Sprintf("/%.100s", key), Message: "unknown key", Hint: hint})
	}
}

// text returns a member that is text of at most most bytes; "" where it is absent.
func (r *reader) text(key string, most int) string {
	value, ok := r.members[key]
	if !ok {
		return ""
	}
	s, ok := strictjson.Text(value)
	if !ok {
		r.wrong("/"+key, "it must be text", "put the value in quotes")
		return ""
	}
	if err := text("/"+key, s, most); err != nil {
		r.problems = append(r.problems, problem.Of(err, problem.Problem{}).Problems...)
		return ""
	}
	return s
}

func (r *reader) runID(key string) string {
	id := r.text(key, 256)
	if id != "" && !runIDRule.MatchString(id) {
		r.wrong("/"+key, "it is not a run id", "take the run_id of a result")
		return ""
	}
	return id
}

func (r *reader) action() executor.Action {
	action := executor.Action(r.text("action", 64))
	if action != "" && !slices.Contains(actions, action) {
		var words []string
		for _, a := range actions {
			words = append(words, string(a))
		}
		r.problems = append(r.problems, problem.Problem{
			Code: "trigger.action", Where: "/action", Message: fmt.Sprintf("unknown action %q", action), Hint: "use one of " + strings.Join(words, ", "),
		})
		return ""
	}
	return action
}

func (r *reader) slot() time.Duration {
	text := r.text("once_per", 64)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxSlot {
		r.wrong("/once_per", fmt.Sprintf("%q is not a duration over 0 and up to %s", text, maxSlot), "write it like 24h or 15m")
		return 0
	}
	return d
}

// parameters returns the values as they are; the manifest says what they must be.
func (r *reader) parameters() map[string]json.RawMessage {
	value, ok := r.members["parameters"]
	if !ok {
		return nil
	}
	members, ok := strictjson.Members(value)
	if !ok {
		r.wrong("/parameters", "it must be an object", `write {"NAME":"value"}`)
		return nil
	}
	parameters := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if kind := members[name].Kind(); kind == '{' || kind == '[' {
			r.wrong(fmt.Sprintf("/parameters/%.100s", name), "it must be text, a number or a boolean", "")
			continue
		}
		parameters[name] = json.RawMessage(members[name])
	}
	return parameters
}
