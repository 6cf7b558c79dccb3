package executor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

const (
	// leaseMargin is how long a claim outlives the invocation, which the platform ends at its deadline.
	leaseMargin = 5 * time.Second
	// preparing is the time that a run may take before its first step, beyond which its leases are renewed.
	preparing = time.Minute
)

// now is the time by this machine's clock, for what others read.
func (c Config) now() time.Time {
	if c.Clock != nil {
		return c.Clock().UTC()
	}
	return time.Now().UTC()
}

// accept makes the request this run's, for good: from here on it ends in a result, whoever goes
// on with it. It ends the run if it is another one's, or stands for one run for each parameter
// set. The manifest is nil where it could not be read.
func (r *run) accept(ctx context.Context, m *manifest.Manifest) error {
	if err := r.watched(ctx); err != nil {
		return err
	}
	key := r.key()
	if former, err := r.openBefore(ctx); err != nil {
		return err
	} else if former != "" {
		key = former
	}
	r.mark = claim.MarkName(key, 1)
	made, err := r.putMark(ctx, r.mark, r.request)
	if err != nil {
		return err
	}
	r.need = r.needOf(m)
	if sets := r.severalSets(m); sets != nil {
		r.need *= time.Duration(len(sets))
	}
	want := claim.Claim{
		Key: key, Environment: r.Environment, Object: r.request.Object, Package: r.name, Lease: r.lease(), Uploaded: r.created, Repeatable: m != nil && m.Idempotent,
	}
	if sets := r.severalSets(m); sets != nil {
		want.Sets = sets
	} else {
		want.RunID = r.runID()
	}
	held, mine, err := claim.Take(ctx, r.State, want, r.now)
	if err == nil && !mine {
		if held.State == claim.Done && made {
			r.deleteMark(ctx, r.mark) // of a request that is done already
		}
		held, err = r.takeOver(ctx, held)
	}
	if err != nil {
		return err
	}
	r.adopt(held)
	if held.Sets != nil {
		return &severalSets{held, m != nil && m.OnSetFailure == manifest.OnSetFailureContinue}
	}
	if err := r.sameVersion(ctx); err != nil {
		return err
	}
	return r.stillTries(held)
}

// sameVersion refuses a request whose id was given before for another version of the object: the id is what
// makes it the same request, which is of one version. Sets of one request have that together.
func (r *run) sameVersion(ctx context.Context) error {
	q := r.request
	if q.RequestID == "" || q.ETag == "" || q.previousRun() != "" || q.OncePer > 0 {
		return nil
	}
	q.ETag = ""
	if q.Parent != "" {
		q.ParameterSet = ""
	}
	first, err := claim.FirstVersion(ctx, r.State, r.Environment, q.key(r.Environment), r.request.ETag)
	if err != nil || first == r.request.ETag {
		return err
	}
	return problem.New(problem.Problem{
		Code: "request.differs", Where: "/request_id",
		Message: fmt.Sprintf("nothing ran: the same request came before, when %s had the ETag %s; it has been replaced since, and has %s", q.Object, first, r.request.ETag),
		Hint:    "to run what is there now, give another request_id",
	}, nil)
}

// key is the run key of the request, whose slot it fixes.
func (r *run) key() string {
	r.request.Slot = r.request.occurrence(r.result.Start)
	key := r.request.key(r.Environment)
	r.result.RequestKey = cmp.Or(claim.KeyOf(r.request.Parent), key)[:12]
	return key
}

// openBefore is the key under which an earlier version has accepted a request that goes back and has
// not ended it; "" if there is none. Its key knew neither the reason nor what is taken from the run.
func (r *run) openBefore(ctx context.Context) (string, error) {
	q := r.request
	if q.previousRun() == "" {
		return "", nil
	}
	q.Slot, q.Parameters = q.wayBack()+" "+q.previousRun(), r.asked
	key := q.key(r.Environment)
	held, err := claim.Find(ctx, r.State, r.Environment, key, r.now())
	if err != nil || held == nil || held.State == claim.Done {
		return "", err
	}
	return key, nil
}

// severalSets lists the package's parameter sets where the request names none.
func (r *run) severalSets(m *manifest.Manifest) []string {
	if m == nil || r.request.ParameterSet != "" || len(m.ParameterSets) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m.ParameterSets))
}

// stillTries ends a run that failed too often before its first step.
func (r *run) stillTries(held *claim.Held) error {
	if held.Tries < r.Limits.Attempts {
		return nil
	}
	message := fmt.Sprintf("the run was tried %d times, and each time it failed or was ended before its first step", held.Tries)
	if held.LastError != nil {
		message += "; the last error was: " + held.LastError.String()
	}
	return problem.New(problem.Problem{
		Code: "state.attempts", Where: held.RunID, Message: message,
		Hint: "see the function's log of the earlier calls; then send rerun_of with a reason",
	}, nil)
}

// lease is until when nobody else may take what the run holds: for what it may still need, and no longer
// than the invocation lasts.
func (r *run) lease() time.Time {
	end := r.hard
	if end.IsZero() {
		end = r.now().Add(r.Limits.RunTime + r.Reserve)
	}
	if needed := r.now().Add(preparing + r.need + r.Reserve); r.need > 0 && needed.Before(end) {
		end = needed
	}
	return end.Add(leaseMargin).UTC()
}

// putMark notes the request as accepted.
func (e *Config) putMark(ctx context.Context, name string, request Request) (made bool, err error) {
	doc, err := json.Marshal(request)
	if err != nil {
		return false, fmt.Errorf("encode request: %w", err)
	}
	return claim.PutMark(ctx, e.State, claim.Mark{Environment: e.Environment, Name: name, Request: doc, Created: e.now()})
}

// deleteMark notes that nothing is left to be done; a mark that stays is looked at by the sweep.
func (e *Config) deleteMark(ctx context.Context, name string) {
	if err := claim.DeleteMark(ctx, e.State, e.Environment, name); err != nil {
		e.Log.Warn("a mark could not be removed", "mark", name, "error", err.Error())
	}
}

// watched refuses to run where it has been forgotten what ran before: the state bucket is empty,
// and there are results. It begins the watch where nothing ever ran.
func (r *run) watched(ctx context.Context) error {
	if r.request.Trigger.Kind == TriggerCLI {
		return nil // a laptop's runs know of no others
	}
	since := r.now()
	if !r.created.IsZero() && r.created.Before(since) {
		since = r.created
	}
	_, err := r.watch(ctx, since)
	return err
}

// watch reads since when uploads are looked after, or begins that.
func (e *Config) watch(ctx context.Context, since time.Time) (claim.Watch, error) {
	w, ok, err := claim.ReadWatch(ctx, e.State)
	if ok || err != nil {
		return w, err
	}
	ran := false
	for _, prefix := range []string{"runs/", "packages/"} { // a copy of a package is there before its run is
		page, err := e.Results.List(ctx, store.ListOptions{Prefix: prefix, Limit: 1})
		if err != nil {
			return w, err
		}
		ran = ran || len(page.Objects) > 0
	}
	if !ran {
		return claim.StartWatch(ctx, e.State, since)
	}
	// Another run may have begun the watch, and ended, between the two looks.
	if w, ok, err = claim.ReadWatch(ctx, e.State); ok || err != nil {
		return w, err
	}
	return w, problem.New(problem.Problem{
		Code: "state.lost", Where: e.State.Name() + "/watch.json", Message: "there are results, and the state bucket does not know what ran: nothing is run, as it might run again",
		Hint: "restore the state bucket; or, knowing that nothing that ran will be uploaded again, put {\"schema_version\":1,\"since\":\"" + e.now().Format(time.RFC3339) + "\"} there",
	}, nil)
}

// retryable reports whether a failure before the first step says nothing of the request: the same
// may succeed later.
func retryable(failure error) bool { return failure != nil && codes.OfError(failure).Retried }

// counts reports whether a failure counts as a try. What a person has to mend first does not: the
// request goes on afterwards.
func counts(failure error) bool { return codes.OfError(failure).Counted }

// acceptRefused accepts a request that was refused, maybe before its object was looked at.
func (r *run) acceptRefused(ctx context.Context) error {
	if r.created.IsZero() {
		if err := r.lookBack(ctx); err != nil {
			return err
		}
	}
	return r.accept(ctx, nil)
}

// begunBefore finds out whether the request has begun before, and with which bytes: from then on it is
// of those, whatever the packages bucket has now.
func (r *run) begunBefore(ctx context.Context) error {
	actions := []Action{r.request.Action}
	if r.request.Action == "" { // the metadata may have said it
		actions = []Action{ActionApply, ActionDryRun}
	}
	for _, action := range actions {
		request := r.request
		request.Action, request.Slot = action, request.occurrence(r.result.Start)
		held, err := claim.Find(ctx, r.State, r.Environment, request.key(r.Environment), r.now())
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
func (r *run) pinOf(ctx context.Context, request Request, held *claim.Held) (string, error) {
	if held.Sets == nil {
		return held.Pinned, nil
	}
	for _, set := range held.Sets {
		request.ParameterSet = set
		one, err := claim.Find(ctx, r.State, r.Environment, request.key(r.Environment), r.now())
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
// a version that is gone only claims tell, and marks.
func (r *run) lookBack(ctx context.Context) error {
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
		held, err := claim.Find(ctx, r.State, r.Environment, request.key(r.Environment), r.now())
		if err != nil {
			return err
		}
		if held != nil && action != cmp.Or(r.request.Action, ActionApply) {
			return &duplicate{held.Claim}
		}
		mark, err := claim.ReadMark(ctx, r.State, r.Environment, claim.MarkName(request.key(r.Environment), 1))
		if err != nil {
			return err
		}
		if mark != nil && r.request.Action == "" { // it was accepted so, and not claimed any more
			r.request.Action, r.result.Action = action, string(action)
			return nil
		}
	}
	return nil
}

// version describes the version of the object that the request names, which may have been replaced or
// deleted: without an id it is looked for by its ETag, as far as versions are kept.
func (r *run) version(ctx context.Context) (store.Info, error) {
	q := r.request
	info, err := store.Describe(ctx, r.Packages, q.Object, q.VersionID)
	if err == nil && info.ETag == q.ETag || err != nil && !isGone(err) {
		return info, err
	}
	page, err := r.Packages.ListVersions(ctx, store.VersionOptions{Prefix: q.Object})
	if err != nil {
		return info, err
	}
	for _, v := range page.Versions {
		if v.Name == q.Object && v.ETag == q.ETag && v.VersionID != "" {
			return store.Describe(ctx, r.Packages, q.Object, v.VersionID)
		}
	}
	return info, store.Error(store.ErrNotFound, "find", r.Packages.Name(), q.Object, nil)
}

// form is the occurrence of a request that its form may not ask for: under a key of its own, its
// refusal says nothing of the same upload in another form.
const form = "refused form"

// formOnly gives a request whose form may not ask for its action a key of its own.
func (r *run) formOnly(policy *manifest.Policy) {
	q := &r.request
	if policy != nil && q.occurrence(r.result.Start) == "" && !policy.Allows(kindFor(q.Trigger.Kind), r.result.Action) {
		q.Slot = occasion(form, kindFor(q.Trigger.Kind))
	}
}
