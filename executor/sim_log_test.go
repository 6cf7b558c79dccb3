package executor_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
)

// simEntry is an entry of the simulated write log.
type simEntry struct {
	executor.LoggedWrite
	seen time.Time // from when on it can be read
}

// log notes an upload in the write log: some entries come late, and some never.
func (w *world) log(u *upload) {
	if w.random.IntN(4) == 0 {
		return
	}
	late := time.Duration(w.random.IntN(20)) * time.Minute
	w.entries = append(w.entries, simEntry{executor.LoggedWrite{
		Time: u.created, Bucket: "packages", ETag: u.etag, VersionID: u.version, Principal: "ocid1.user.oc1.." + u.etag,
		Authentication: "user",
	}, time.Now().Add(late)})
}

// readLog reads the write log, in pages of two.
func (i *invocation) readLog(
	ctx context.Context, from, to time.Time, page string,
) (found []executor.LoggedWrite, next string, err error) {
	err = i.schedule(ctx, "search", "log/"+page, func() error {
		for _, e := range i.world.entries {
			if !e.seen.After(time.Now()) && !e.Time.Before(from) && !e.Time.After(to) {
				found = append(found, e.LoggedWrite)
			}
		}
		return nil
	})
	skip := 2 * len(page)
	if len(found) > skip+2 {
		next = page + "x"
	}
	return found[min(skip, len(found)):min(skip+2, len(found))], next, err
}

// unread reports whether something is left for later that the log would tell.
func (w *world) unread() bool {
	return slices.ContainsFunc(w.entries, func(e simEntry) bool {
		for name, o := range w.buckets["state"] {
			if strings.HasPrefix(name, "todo/") && strings.Contains(string(o.body), `"`+e.ETag+`"`) {
				return true
			}
		}
		return false
	})
}

// judgeRequesters wants each run of an upload to have told who uploaded, or to have that before it.
func (w *world) judgeRequesters(found map[string]evidence.Result) {
	for id, r := range found {
		told := w.buckets["results"][evidence.UploaderObject(id)]
		later := w.buckets["state"]["todo/prod/"+id+".json"]
		if r.Package.ETag == "" {
			continue
		}
		if told == nil && later == nil {
			w.violated("run %s of %s does not say who uploaded, and nothing is left to be done for it", id,
				r.SourceObject)
			continue
		}
		logged := slices.ContainsFunc(w.entries, func(e simEntry) bool { return e.ETag == r.Package.ETag })
		if told == nil {
			if logged {
				w.violated("run %s of %s does not say who uploaded, which the log has", id, r.SourceObject)
			}
			continue
		}
		var u evidence.Uploader
		if err := json.Unmarshal(told.body, &u); err != nil || u.RunID != id || !u.Found ||
			u.Principal != "ocid1.user.oc1.."+r.Package.ETag {
			w.violated("run %s of %s says that %q uploaded, %v", id, r.Package.ETag, u.Principal, err)
		}
	}
}

// logger is where an invocation logs: nowhere, unless one history is looked at.
func (i *invocation) logger() *slog.Logger {
	if *simLog != "" {
		return slog.New(slog.NewTextHandler(&i.world.happened, nil)).With("invocation", i.number)
	}
	if *simSeed == 0 || !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(i.world.t.Output(), nil)).With("invocation", i.number)
}
