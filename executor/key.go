package executor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// The run key is the idempotency key of a request: all requests that mean the same execution have the same one,
// however often and in whatever form they come. It is made of what the request names, of what the uploader chose
// by the object's metadata, and of the occurrence, which tells apart what is asked for again on purpose. The run
// id, which people see, ends with its first digits.

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
	return fmt.Sprintf("%x", sha256.Sum256(parts))
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

// previousRun is the run that the request goes back to; "" where it stands alone.
func (q Request) previousRun() string { return cmp.Or(q.ResumeFrom, q.RollbackOf, q.RerunOf) }

// GoesBack reports whether the request goes back to an earlier run, from which it takes everything that
// it does not name.
func (q Request) GoesBack() bool { return q.previousRun() != "" }

// wayBack names the key with which the request goes back.
func (q Request) wayBack() string {
	switch {
	case q.ResumeFrom != "":
		return "resume_from"
	case q.RollbackOf != "":
		return "rollback_of"
	}
	return "rerun_of"
}

// key is the run key of the request, whose slot it fixes.
func (r *report) key() string {
	r.request.Slot = r.request.occurrence(r.result.Start)
	key := r.request.key(r.exec.Environment)
	r.result.RequestKey = cmp.Or(claim.KeyOf(r.request.Parent), key)[:12]
	return key
}

// openBefore is the key under which an earlier version has accepted a request that goes back and has
// not ended it; "" if there is none. Its key knew neither the reason nor what is taken from the run.
func (r *earlier) openBefore(ctx context.Context) (string, error) {
	q := r.request
	if q.previousRun() == "" {
		return "", nil
	}
	q.Slot, q.Parameters = q.wayBack()+" "+q.previousRun(), r.given
	key := q.key(r.exec.Environment)
	held, err := r.exec.book.Find(ctx, key)
	if err != nil || held == nil || held.State == claim.Done {
		return "", err
	}
	return key, nil
}

// runID names the run, once its package's name is known or will never be.
func (r *report) runID() string {
	if r.result.RunID == "" {
		r.named(r.newRunID())
	}
	return r.result.RunID
}

func (r *report) newRunID() string {
	return r.result.Start.Format("20060102T150405Z") + "-" + r.name + "-" + r.key()[:12]
}

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

var (
	versionSuffix = regexp.MustCompile(`-v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?$`)
	notInName     = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// fromMetadata takes what the uploader chose by object metadata, where the request
// says nothing. A key of ours that is not known is refused: a misspelt action must
// not become apply.
func (q *Request) fromMetadata(metadata map[string]string) error {
	const prefix = "cemli-"
	if q.previousRun() != "" {
		return nil // everything is taken from the run that is named
	}
	if q.byHand() {
		setDefault(&q.Action, ActionApply) // a request by hand is not changed by metadata
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

func metadataError(key, message string) error {
	return problem.New(problem.Problem{
		Code: "trigger.metadata", Where: "opc-meta-" + key, Message: message,
		Hint: "known keys are cemli-action, cemli-parameter-set, cemli-reason and cemli-reference; upload the object again",
	}, nil)
}

// byHand reports whether a person has asked, rather than an upload.
func (q Request) byHand() bool {
	return q.Trigger.Kind == TriggerRequest || q.Trigger.Kind == TriggerCLI
}

// wantsRepeats says what a request that comes again and again wants of its package, or "".
func (q Request) wantsRepeats() string {
	what := ""
	switch {
	case q.OncePer > 0:
		what = "what is to run regularly"
	case q.OnEvent:
		what = "what is to run by every such event"
	default:
		return ""
	}
	return "; " + what + ` wants an idempotent package ("idempotent": true in the manifest), or a policy that allows repeat ("version": {"repeat": "allow"})`
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// begunBefore finds out whether the request has begun before, and with which bytes: from then on it is
// of those, whatever the packages bucket has now.
func (r *report) begunBefore(ctx context.Context) error {
	actions := []Action{r.request.Action}
	if r.request.Action == "" { // the metadata may have said it
		actions = []Action{ActionApply, ActionDryRun}
	}
	for _, action := range actions {
		request := r.request
		request.Action, request.Slot = action, request.occurrence(r.result.Start)
		held, err := r.exec.book.Find(ctx, request.key(r.exec.Environment))
		if err != nil {
			return err
		}
		if held == nil {
			continue
		}
		r.request.pinned, err = r.pinOf(ctx, request, held)
		return err
	}
	return nil
}

// pinOf is the SHA-256 of the zip that a claim's request has begun with, in any of its sets; "" if it
// has not.
func (r *asked) pinOf(ctx context.Context, request Request, held *claim.Held) (string, error) {
	if held.Sets == nil {
		return held.Pinned, nil
	}
	for _, set := range held.Sets {
		request.ParameterSet = set
		one, err := r.exec.book.Find(ctx, request.key(r.exec.Environment))
		if err != nil || one == nil {
			return "", err // sets begin in their order
		}
		if one.Pinned != "" {
			return one.Pinned, nil
		}
	}
	return "", nil
}

// lookBack finds out what the uploader chose by metadata, which is part of what the request means. Of
// a version that is gone only claims and pending requests tell.
func (r *found) lookBack(ctx context.Context) error {
	if CheckObject(r.request.Object) != nil {
		return nil // nobody can ask a store for it
	}
	info, err := r.version(ctx)
	if err != nil && retryable(err) {
		return err
	}
	if err == nil {
		r.created = r.request.createdAt(info.Created)
		if r.request.fromMetadata(info.Metadata) == nil && r.request.Action != "" {
			r.result.Action = string(r.request.Action)
		}
		return nil
	}
	if r.request.byHand() || r.request.OnEvent {
		return nil
	}
	// One who comes first may have known its metadata, and another not.
	for _, action := range []Action{ActionApply, ActionCheck, ActionDryRun} {
		request := r.request
		request.Action, request.Slot = action, request.occurrence(r.result.Start)
		held, err := r.exec.book.Find(ctx, request.key(r.exec.Environment))
		if err != nil {
			return err
		}
		if held != nil && action != cmp.Or(r.request.Action, ActionApply) {
			return duplicateOf(held.Claim)
		}
		pending, err := r.exec.book.Pending(ctx, claim.PendingName(request.key(r.exec.Environment), 1))
		if err != nil {
			return err
		}
		if pending != nil && r.request.Action == "" { // it was accepted so, and not claimed any more
			r.request.Action, r.result.Action = action, string(action)
			return nil
		}
	}
	return nil
}

// version describes the version of the object that the request names, which may have been replaced or
// deleted: without an id it is looked for by its ETag, as far as versions are kept.
func (r *asked) version(ctx context.Context) (store.Info, error) {
	q := r.request
	info, err := store.Describe(ctx, r.exec.Packages, q.Object, q.VersionID)
	if err == nil && info.ETag == q.ETag || err != nil && !isGone(err) {
		return info, err
	}
	page, err := r.exec.Packages.ListVersions(ctx, store.VersionOptions{Prefix: q.Object})
	if err != nil {
		return info, err
	}
	for _, v := range page.Versions {
		if v.Name == q.Object && v.ETag == q.ETag && v.VersionID != "" {
			return store.Describe(ctx, r.exec.Packages, q.Object, v.VersionID)
		}
	}
	return info, store.Error(store.ErrNotFound, "find", r.exec.Packages.Name(), q.Object, nil)
}
