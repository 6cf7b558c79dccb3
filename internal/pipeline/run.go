package pipeline

import (
	"context"
	"errors"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/download"
	"cemli-executor/internal/progress"
	"cemli-executor/manifest"
)

// pipeline takes the run through its stages. Each stage takes what only the one before it can make.
func (r *run) pipeline(ctx context.Context) error {
	ctx, cancel, err := r.exec.Time.Bound(ctx, r.result.Start, r.limits.RunTime, r.killAt)
	if err != nil {
		return err
	}
	defer func() { _ = r.copies.Wait(); cancel() }() // no copy is written after the run
	if err := r.supported(ctx); err != nil {
		return err
	}
	policy, err := r.readPolicy(ctx)
	if err != nil {
		return err
	}
	if err := r.confinable(); err != nil {
		return err
	}
	if r.request.GoesBack() {
		if err := r.recall(ctx); err != nil {
			return err
		}
	}
	zip, err := timed(&r.report, "fetch", func() (*download.Object, error) { return r.fetch(ctx) })
	if err != nil {
		return err
	}
	r.zip = zip
	r.request.KeyByForm(policy, r.result.Action, r.result.Start)
	archive, err := timed(&r.report, "open", func() (*bundle.Archive, error) { return r.open(zip, zip.Size()) })
	if err != nil {
		return err
	}
	m, err := r.read(archive)
	if err != nil {
		return err
	}
	if err := r.accept(ctx, m); err != nil {
		return err
	}
	if err := r.givenUp(ctx); err != nil {
		return err
	}
	r.keepPolicy(ctx)
	r.prepareMailbox(ctx)
	r.log.Info("run started", "object", r.request.Object, "sha256", r.result.Package.SHA256,
		"parameter_set", r.request.ParameterSet, "action", r.result.Action)
	contents, err := timed(&r.report, "extract", func() (bundle.Extracted, error) { return r.extract(ctx, archive) })
	if err != nil {
		return err
	}
	admit := func() (*manifest.Plan, error) { return r.admit(ctx, m, contents, policy) }
	if err := r.enter(ctx, m, policy, admit); err != nil {
		return err
	}
	plan, err := timed(&r.report, "admit", admit)
	if err != nil {
		return err
	}
	r.keepPackage(ctx, zip, m)
	return r.apply(ctx, plan)
}

// givenUp ends a run for which no invocation has enough time, or that was cancelled while another invocation held its
// claim, which then put it off.
func (r *acquired) givenUp(ctx context.Context) error {
	if r.request.Hopeless != nil || !r.mayHaveResult { // nobody has held the claim before
		return r.request.Hopeless
	}
	found, err := r.exec.Book.Progress().Of(ctx, r.claim.RunID)
	if by := progress.Cancellation(found); by != nil {
		return r.cancelled(by)
	}
	return err
}

// confinable refuses to run where scripts cannot be confined as is demanded. A runner says so itself.
func (r *run) confinable() error {
	if r.exec.Apart != nil {
		return nil
	}
	return errors.Join(r.exec.Doubtful(), confinement.Available(r.level))
}
