package executor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// LoggedWrite is an entry of the packages bucket's write log, as far as it is looked at: nothing that an uploader
// can choose.
type LoggedWrite struct {
	Time             time.Time
	Bucket           string
	ETag, VersionID  string
	Principal        string // OCID
	Authentication   string
	PreAuthenticated bool
}

// WriteLog reads a page of the write log: the writes between two times that have made objects, the earliest
// first. The page "" is the first; next is empty on the last.
type WriteLog func(ctx context.Context, from, to time.Time, page string) (writes []LoggedWrite, next string, err error)

// Bounds of reading the log in one sweep, and of what is read for one upload.
const (
	logPages  = 40
	logBefore = time.Hour           // an entry may have the time at which the upload began
	logAfter  = time.Hour           // or a later one
	logGap    = 6 * time.Hour       // that is rather read than asked around
	logRange  = 13 * 24 * time.Hour // the service takes 14 days
	logWait   = 24 * time.Hour      // for an entry, before it is said that there is none
)

// logSpan is a time range of the log and what is looked for in it, the earliest upload first.
type logSpan struct {
	from, to time.Time
	todos    []*claim.Todo
}

// logSearch looks for uploads in the write log.
type logSearch struct{ *environment }

// identify stores who uploaded, for each run that the log has the upload of; after a day without an entry,
// that there is none. What is not read of the log, and what could not be, says nothing; a range that is refused
// keeps nobody from the others.
func (e logSearch) identify(ctx context.Context, todos []*claim.Todo) (done []*claim.Todo, err error) {
	pages := logPages
	reading, cancel := partly(ctx, 3, 4)
	defer cancel()
	for _, span := range e.spans(todos) {
		found, read, readErr := e.searchLog(reading, span, &pages)
		err = errors.Join(err, readErr)
		for _, t := range span.todos {
			write, ok := found[t]
			if !ok && (e.windowEnd(t).After(read) || e.now().Before(t.Created.Add(logWait))) {
				if readErr == nil {
					err = errors.Join(err, t.Reach(ctx, e.reached(t, span, read)))
				}
				continue
			}
			if putErr := e.putRequester(ctx, t, write); putErr != nil {
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

// reached is where the next sweep goes on with the log for an upload: where this one has stopped, or, for what comes
// late, at the beginning.
func (e logSearch) reached(t *claim.Todo, span logSpan, read time.Time) time.Time {
	if !read.Before(span.to) || !read.Before(e.windowEnd(t)) {
		return time.Time{}
	}
	return read
}

// spans are the time ranges that have all uploads in them, as few as there can be.
func (e logSearch) spans(todos []*claim.Todo) []logSpan {
	todos = slices.SortedFunc(slices.Values(todos), func(a, b *claim.Todo) int {
		return cmp.Or(windowStart(a).Compare(windowStart(b)), cmp.Compare(a.RunID, b.RunID))
	})
	var spans []logSpan
	for _, t := range todos {
		from, to := windowStart(t), e.windowEnd(t)
		if n := len(spans); n > 0 && !from.After(spans[n-1].to.Add(logGap)) && to.Sub(spans[n-1].from) < logRange {
			last := &spans[n-1]
			last.to, last.todos = latest(last.to, to), append(last.todos, t)
			continue
		}
		spans = append(spans, logSpan{from, to, []*claim.Todo{t}})
	}
	return spans
}

// windowStart is the earliest time at which the log may have an upload that was not read yet.
func windowStart(t *claim.Todo) time.Time { return latest(t.Uploaded.Add(-logBefore), t.Read) }

// windowEnd is the latest time at which the log may have an upload, or now.
func (e logSearch) windowEnd(t *claim.Todo) time.Time {
	end := t.Uploaded.Add(logAfter)
	if now := latest(e.now(), t.Uploaded); now.Before(end) {
		end = now
	}
	return end.Truncate(time.Millisecond) // as the log has times
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// searchLog reads a time range of the log, as far as pages are left, and finds uploads in it: by ETag or version,
// and of two entries the earlier. read is until when it was read; zero: it is not known.
func (e logSearch) searchLog(ctx context.Context, span logSpan, pages *int) (found map[*claim.Todo]LoggedWrite, read time.Time, err error) {
	found = map[*claim.Todo]LoggedWrite{}
	var at time.Time
	inOrder, page := true, ""
	for *pages > 0 {
		*pages--
		writes, next, err := e.WriteLog(ctx, span.from, span.to, page)
		if err != nil {
			return found, time.Time{}, err
		}
		for _, w := range writes {
			inOrder, at = inOrder && !w.Time.Before(at), w.Time
			e.match(span.todos, w, found)
		}
		if next == "" {
			return found, span.to, nil
		}
		page = next
	}
	e.Log.Warn("the write log has more entries than one sweep reads; the next one goes on", "from", span.from, "to", span.to)
	if !inOrder {
		at = time.Time{}
	}
	return found, at, nil
}

// match notes an entry for the uploads that it is of.
func (e logSearch) match(todos []*claim.Todo, w LoggedWrite, found map[*claim.Todo]LoggedWrite) {
	if w.Bucket != e.Packages.Name() {
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

// isOf reports whether an entry is of an upload: by the version where both have one, else by the ETag.
func isOf(t *claim.Todo, w LoggedWrite) bool {
	if t.VersionID != "" && w.VersionID != "" {
		return sameWrite(t.VersionID, w.VersionID)
	}
	return sameWrite(t.ETag, w.ETag)
}

// sameWrite reports whether two names of a write are the same one; "" names none.
func sameWrite(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// putRequester stores who uploaded the package of a run, unless that is stored: then it stands. An entry
// without a bucket is none.
func (e logSearch) putRequester(ctx context.Context, t *claim.Todo, w LoggedWrite) error {
	u := evidence.Uploader{RunID: t.RunID, ETag: t.ETag, VersionID: t.VersionID, Recorded: e.now()}
	if w.Bucket != "" {
		u.Identify(w.Principal, w.Authentication, w.PreAuthenticated)
	}
	doc, err := u.Encode()
	if err != nil {
		return err
	}
	object := evidence.UploaderObject(t.RunID)
	_, err = e.Results.Put(ctx, object, bytes.NewReader(doc), int64(len(doc)), store.PutOptions{IfNoneMatch: true, ContentType: "application/json"})
	if err == nil {
		e.Log.Info("it is stored who uploaded", "run_id", t.RunID, "found", u.Found)
		return nil
	}
	if _, headErr := e.Results.Head(ctx, object); headErr == nil {
		return nil // an earlier sweep has stored it, or this one, whose answer was lost
	}
	return err
}
