package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
)

// begin makes the run with what is known before anything is read.
func (e *Executor) begin(request Request) *run {
	r := &run{
		Config: e.Config, request: request, log: e.Log, name: nameFrom(request.Object),
		copies: &copies{}, begun: time.Now(),
	}
	r.stored = results.NewWriter(e.Results, r.part)
	r.guard(nil)
	r.result = evidence.Result{
		Action: string(ActionApply), Environment: e.Environment, Attempt: 1, Start: e.now(),
		Reason: request.Reason, Reference: request.Reference,
		SourceBucket: request.Bucket, SourceObject: request.Object,
		Package:     evidence.Package{ETag: request.ETag, VersionID: request.VersionID},
		RequestedBy: request.RequestedBy,
		Identity:    e.Identity,
		Trigger:     describe(request.Trigger),
		Timings:     map[string]int64{},
	}
	r.result.ParameterSet, r.result.Parameters = request.ParameterSet, r.askedParameters(nil)
	r.describeSandbox(r.planned())
	r.result.Identity.CallID = request.CallID
	if request.Action != "" {
		r.result.Action = string(request.Action)
	}
	return r
}

// ended is the end of the run if that is now, however the clock was set since its start.
func (r *run) ended() time.Time { return r.result.Start.Add(time.Since(r.begun)) }

func describe(t Trigger) evidence.Trigger {
	described := evidence.Trigger{Kind: string(t.Kind), EventID: t.EventID, EventType: t.EventType, Raw: t.Raw}
	if len(t.Raw) > evidence.MaxTrigger {
		described.Raw = nil
	}
	if !t.EventTime.IsZero() {
		at := t.EventTime.UTC()
		described.EventTime = &at
	}
	return described
}

// supported refuses what is not for this executor and what this version cannot do.
func (r *run) supported(ctx context.Context) error {
	if r.request.Bucket != r.Packages.Name() {
		return wrongBucket(r.request.Bucket, r.Packages.Name())
	}
	namespace, err := r.Namespace(ctx)
	if err != nil {
		return err
	}
	if r.request.Namespace != "" && r.request.Namespace != namespace {
		return wrongBucket(r.request.Namespace+"/"+r.request.Bucket, namespace+"/"+r.Packages.Name())
	}
	r.request.Namespace = namespace
	if r.request.Object == "" && r.request.previousRun() != "" {
		return r.request.consistent() // that run says of which object it was
	}
	if err := checkName(r.request.Object); err != nil {
		return err
	}
	return r.request.consistent()
}

// checkName refuses an object that cannot be a package, by its name.
func checkName(object string) error {
	err := CheckObject(object)
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "trigger.object", Where: fmt.Sprintf("%.200q", object), Message: "it cannot be the name of a package: " + err.Error(),
		Hint: "rename the object and upload it again",
	}, nil)
}

func wrongBucket(got, want string) error {
	return problem.New(problem.Problem{
		Code: "trigger.bucket", Where: got, Message: "packages are taken only from " + want,
		Hint: "upload the package there, or set CEMLI_PACKAGES_BUCKET",
	}, nil)
}

// fromMetadata takes what the uploader chose by object metadata, where the request
// says nothing. A key of ours that is not known is refused: a misspelt action must
// not become apply.
func (q *Request) fromMetadata(metadata map[string]string) error {
	const prefix = "cemli-"
	if q.previousRun() != "" {
		return nil // everything is taken from the run that is named
	}
	if q.byHand() {
		setDefault(&q.Action, ActionApply) // whoever asks by hand means what he says
	}
	for key, value := range metadata {
		word, ours := strings.CutPrefix(strings.ToLower(key), prefix)
		if !ours {
			continue
		}
		switch word {
		case "action":
			switch action := Action(value); action {
			case ActionApply, ActionDryRun, ActionCheck:
				setDefault(&q.Action, action)
			default:
				return metadataError(key, "the action must be apply, dry_run or check")
			}
		case "parameter-set":
			if !q.OnEvent { // it is one request whatever version of the object is there
				setDefault(&q.ParameterSet, value)
			}
		case "reason":
			setDefault(&q.Reason, value)
		case "reference":
			setDefault(&q.Reference, value)
		case "not-before":
			return metadataError(key, "this version does not support the key")
		default:
			return metadataError(key, "unknown metadata key")
		}
	}
	return nil
}

// byHand reports whether a person has asked, rather than an upload.
func (q Request) byHand() bool {
	return q.Trigger.Kind == TriggerRequest || q.Trigger.Kind == TriggerCLI
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

func metadataError(key, message string) error {
	return problem.New(problem.Problem{
		Code: "trigger.metadata", Where: "opc-meta-" + key, Message: message,
		Hint: "known keys are cemli-action, cemli-parameter-set, cemli-reason and cemli-reference; upload the object again",
	}, nil)
}

// runID names the run, once its package's name is known or will never be.
func (r *run) runID() string {
	if r.result.RunID == "" {
		r.result.RunID = r.newRunID()
		r.log = r.log.With("run_id", r.result.RunID, "package", r.result.Package.Name, "version", r.result.Package.Version)
	}
	return r.result.RunID
}

func (r *run) newRunID() string {
	return r.result.Start.Format("20060102T150405Z") + "-" + r.name + "-" + r.key()[:12]
}

// occurrence tells apart what is asked for more than once on purpose: empty for uploads.
func (q Request) occurrence(at time.Time) string {
	if q.Slot != "" {
		return q.Slot
	}
	switch {
	case q.previousRun() != "" && q.RequestID != "":
		return occasion(q.wayBack(), q.previousRun(), "request_id", q.RequestID)
	case q.previousRun() != "" && q.Force:
		return occasion(q.wayBack(), q.previousRun(), "reason", q.Reason, "force")
	case q.previousRun() != "":
		return occasion(q.wayBack(), q.previousRun(), "reason", q.Reason)
	case q.OnEvent:
		return occasion("event", q.Trigger.EventID)
	case q.OncePer > 0:
		return "once_per " + at.UTC().Truncate(q.OncePer).Format(time.RFC3339Nano)
	case q.RequestID != "":
		return occasion("request_id", q.RequestID)
	}
	return ""
}

// occasion joins words so that no two lists of words look alike.
func occasion(words ...string) string {
	doc, err := json.Marshal(words)
	if err != nil {
		panic(err) // they are strings
	}
	return string(doc)
}

// key is the run key: one for all requests that mean the same execution. It is the
// SHA-256 of the parts as a JSON array, so that no two lists of parts look alike. The slot has
// to be fixed. What an event starts has one key whatever version of the object is there.
func (q Request) key(environment string) string {
	action, etag, parameters := q.Action, q.ETag, q.Parameters
	setDefault(&action, ActionApply)
	if q.OnEvent {
		etag = ""
	}
	if len(parameters) == 0 {
		parameters = nil // as it is read back: no member, and none of no length
	}
	parts, err := json.Marshal([]any{
		q.Namespace, q.Bucket, q.Object, etag, action, q.ParameterSet, parameters, environment, q.Slot,
	})
	if err != nil {
		panic(err) // parameters are valid JSON: the trigger has parsed them
	}
	return sum(parts)
}

var (
	versionSuffix = regexp.MustCompile(`-v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?$`)
	notInName     = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// nameFrom guesses a package's name from its object's, by the convention
// <name>-<version>.zip, for runs that end before the manifest is read.
func nameFrom(object string) string {
	name := strings.ToLower(path.Base(object))
	name = versionSuffix.ReplaceAllString(strings.TrimSuffix(name, ".zip"), "")
	name = strings.TrimLeft(notInName.ReplaceAllString(name, "-"), "._-")
	if name == "" {
		return "unnamed"
	}
	return name[:min(len(name), 63)]
}
