// Package uploader finds out who uploaded a package, from OCI's log of writes to the packages bucket. A write appears
// in the log only some time later, so sweeps do this.
package uploader

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// LoggedWrite is an entry of the packages bucket's write log, without anything that an uploader can choose.
type LoggedWrite struct {
	Time             time.Time
	Bucket           string
	ETag, VersionID  string
	Principal        string // OCID
	Authentication   string
	PreAuthenticated bool
}

// WriteLog reads a page of the write log: the writes between two times that created objects, earliest first. The page
// "" is the first; next is empty on the last.
type WriteLog func(ctx context.Context, from, to time.Time, page string) (writes []LoggedWrite, next string, err error)

// Bounds of reading the log in one sweep, and of what is read for one upload.
const (
	logPages  = 40
	logBefore = time.Hour           // an entry may have the time at which the upload began
	logAfter  = time.Hour           // or a later one
	logGap    = 6 * time.Hour       // between two uploads that is read in one range, rather than skipped
	logRange  = 13 * 24 * time.Hour // the service takes 14 days
	logWait   = 24 * time.Hour      // for an entry, before an upload counts as having none
)

// span is a time range of the log and the uploads to look for in it, earliest first.
type span struct {
	from, to time.Time
	todos    []*claim.Todo
}

// Search looks for uploads in the write log, and stores who uploaded.
type Search struct {
	Log     WriteLog
	Bucket  string       // the packages bucket's name
	Results store.Bucket // holds requester.json of each run
	Now     func() time.Time
	Logger  *slog.Logger
}

// Identify stores who uploaded, for each run whose upload is in the log; after a day without an entry it stores that
// there is none. A part of the log that was not read proves nothing; if one range is refused, the others are still
// read.
func (e Search) Identify(ctx context.Context, todos []*claim.Todo) (done []*claim.Todo, err error) {
	pages := logPages
	reading, cancel := Partly(ctx, 3, 4)
	defer cancel()
	for _, s := range e.spans(todos) {
		found, read, readErr := e.search(reading, s, &pages)
		err = errors.Join(err, readErr)
		for _, t := range s.todos {
			write, ok := found[t]
			if !ok && (e.windowEnd(t).After(read) || e.Now().Before(t.Created.Add(logWait))) {
				if readErr == nil {
					err = errors.Join(err, t.Reach(ctx, e.reached(t, s, read)))
				}
				continue
			}
			if putErr := e.put(ctx, t, write); putErr != nil {
				return done, errors.Join(err, putErr)
			}
			done = append(done, t)
		}
		if pages == 0 || errors.Is(readErr, store.ErrUnavailable) || reading.Err() != nil {
			break
		}
	}
	return done, err
}

// reached returns where the next sweep continues to read the log for an upload: where this one stopped or, to find late
// entries, at the beginning.
func (e Search) reached(t *claim.Todo, s span, read time.Time) time.Time {
	if !read.Before(s.to) || !read.Before(e.windowEnd(t)) {
		return time.Time{}
	}
	return read
}

// spans returns the fewest time ranges that cover all uploads.
func (e Search) spans(todos []*claim.Todo) []span {
	todos = slices.SortedFunc(slices.Values(todos), func(a, b *claim.Todo) int {
		return cmp.Or(windowStart(a).Compare(windowStart(b)), cmp.Compare(a.RunID, b.RunID))
	})
	var spans []span
	for _, t := range todos {
		from, to := windowStart(t), e.windowEnd(t)
		if n := len(spans); n > 0 && !from.After(spans[n-1].to.Add(logGap)) && to.Sub(spans[n-1].from) < logRange {
			last := &spans[n-1]
			last.to, last.todos = latest(last.to, to), append(last.todos, t)
			continue
		}
		spans = append(spans, span{from, to, []*claim.Todo{t}})
	}
	return spans
}

// windowStart returns the earliest time at which the log may have an upload in a part that was not read yet.
func windowStart(t *claim.Todo) time.Time { return latest(t.Uploaded.Add(-logBefore), t.Read) }

// windowEnd returns the latest time at which the log may have an upload, or now.
func (e Search) windowEnd(t *claim.Todo) time.Time {
	end := t.Uploaded.Add(logAfter)
	if now := latest(e.Now(), t.Uploaded); now.Before(end) {
		end = now
	}
	return end.Truncate(time.Millisecond) // the precision of the log
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// search reads a time range of the log, as far as pages are left, and finds uploads in it: by ETag or version,
// and of two entries the earlier. read is until when it was read; zero: it is not known.
func (e Search) search(
	ctx context.Context, s span, pages *int,
) (found map[*claim.Todo]LoggedWrite, read time.Time, err error) {
	found = map[*claim.Todo]LoggedWrite{}
	var at time.Time
	inOrder, page := true, ""
	for *pages > 0 {
		*pages--
		writes, next, err := e.Log(ctx, s.from, s.to, page)
		if err != nil {
			return found, time.Time{}, err
		}
		for _, w := range writes {
			inOrder, at = inOrder && !w.Time.Before(at), w.Time
			e.match(s.todos, w, found)
		}
		if next == "" {
			return found, s.to, nil
		}
		page = next
	}
	e.Logger.Warn("the write log has more entries than one sweep reads; the next one goes on", "from", s.from,
		"to", s.to)
	if !inOrder {
		at = time.Time{}
	}
	return found, at, nil
}

// match notes an entry for each upload that it is about.
func (e Search) match(todos []*claim.Todo, w LoggedWrite, found map[*claim.Todo]LoggedWrite) {
	if w.Bucket != e.Bucket {
		return
	}
	for _, t := range todos {
		before, ok := found[t]
		if isOf(t, w) {
			if !ok || w.Time.Before(before.Time) {
				found[t] = w
			}
		}
	}
}

// isOf reports whether an entry is about an upload: by the version if both have one, otherwise by the ETag.
func isOf(t *claim.Todo, w LoggedWrite) bool {
	if t.VersionID != "" && w.VersionID != "" {
		return sameWrite(t.VersionID, w.VersionID)
	}
	return sameWrite(t.ETag, w.ETag)
}

// sameWrite reports whether two names of a write are equal; "" names none.
func sameWrite(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// put stores who uploaded the package of a run, unless that is stored already. An entry without a bucket stands for
// none.
func (e Search) put(ctx context.Context, t *claim.Todo, w LoggedWrite) error {
	u := evidence.Uploader{RunID: t.RunID, ETag: t.ETag, VersionID: t.VersionID, Recorded: e.Now()}
	if w.Bucket != "" {
		u.Identify(w.Principal, w.Authentication, w.PreAuthenticated)
	}
	doc, err := u.Encode()
	if err != nil {
		return err
	}
	object := evidence.UploaderObject(t.RunID)
	_, err = e.Results.Put(ctx, object, bytes.NewReader(doc), int64(len(doc)),
		store.PutOptions{IfNoneMatch: true, ContentType: "application/json"})
	if err == nil {
		e.Logger.Info("it is stored who uploaded", "run_id", t.RunID, "found", u.Found)
		return nil
	}
	if _, headErr := e.Results.Head(ctx, object); headErr == nil {
		return nil // an earlier sweep has stored it, or this one, whose answer was lost
	}
	return err
}

// Partly bounds a context to a part of the time left, so that what comes after it has some.
func Partly(ctx context.Context, of, whole time.Duration) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)*of/whole)
}
