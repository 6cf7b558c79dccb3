package followup

import (
	"context"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// Watch reads since when sweeps look for uploads. It starts the watch now if nothing ever ran, and refuses if there are
// results although the state bucket is empty.
func (f Follower) Watch(ctx context.Context, since time.Time) (claim.Watch, error) {
	w, ok, err := f.Book.Watch(ctx)
	if ok || err != nil {
		return w, err
	}
	ran := false
	for _, prefix := range []string{"runs/", "packages/"} { // a copy of a package is stored before its run is
		page, err := f.Results.List(ctx, store.ListOptions{Prefix: prefix, Limit: 1})
		if err != nil {
			return w, err
		}
		ran = ran || len(page.Objects) > 0
	}
	if !ran {
		return f.Book.StartWatch(ctx, since)
	}
	// Another run may have started the watch, and ended, since it was read.
	if w, ok, err = f.Book.Watch(ctx); ok || err != nil {
		return w, err
	}
	return w, problem.New(problem.Problem{
		Code: "state.lost", Where: f.Book.State.Name() + "/watch.json",
		Message: "there are results, and the state bucket does not know what ran: nothing is run, " +
			"as it might run again",
		Hint: "restore the state bucket; or, knowing that nothing that ran will be uploaded again, put " +
			"{\"schema_version\":1,\"since\":\"" + f.Now().Format(time.RFC3339) + "\"} there",
	}, nil)
}
