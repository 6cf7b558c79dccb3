package logging

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Limits of a search, the same as OCI's.
const (
	maxRange     = 14 * 24 * time.Hour
	maxResults   = 1000
	defaultLimit = 500
)

// Query is a parsed search.
type Query struct {
	Compartment, Group, Log string // Group and Log may be empty, for all
	from, to                time.Time
	ascending               bool
}

// queryForm is the part of the query language that is supported.
var queryForm = regexp.MustCompile(`^\s*search\s+"([^"/\s]+)(?:/([^"/\s]+))?(?:/([^"/\s]+))?"\s*` +
	`(?:\|\s*sort\s+by\s+datetime(?:\s+(asc|desc))?\s*)?$`)

// ParseQuery reads the body of a search.
func ParseQuery(body []byte) (Query, error) {
	var q struct {
		TimeStart   time.Time `json:"timeStart"`
		TimeEnd     time.Time `json:"timeEnd"`
		SearchQuery string    `json:"searchQuery"`
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return Query{}, errors.New("the request body is not valid JSON, or a time in it is none")
	}
	match := queryForm.FindStringSubmatch(q.SearchQuery)
	switch {
	case match == nil:
		return Query{}, errors.New(
			`the query is not known here; write search "COMPARTMENT/LOG_GROUP/LOG" | sort by datetime asc`,
		)
	case q.TimeStart.IsZero() || q.TimeEnd.IsZero() || !q.TimeStart.Before(q.TimeEnd):
		return Query{}, errors.New("timeStart and timeEnd are needed, and the one is before the other")
	case q.TimeEnd.Sub(q.TimeStart) > maxRange:
		return Query{}, errors.New("a search covers at most 14 days")
	}
	return Query{match[1], match[2], match[3], q.TimeStart, q.TimeEnd, match[4] == "asc"}, nil
}

// Page is one page of results; Next is "" on the last.
type Page struct {
	Results []json.RawMessage
	Next    string
}

// search returns a page of the entries in a time range; limit 0 is the service's default.
func (l *log) search(q Query, limit int, page string, now time.Time) (Page, error) {
	if limit == 0 {
		limit = defaultLimit
	}
	if limit < 1 || limit > maxResults {
		return Page{}, fmt.Errorf("the limit must be from 1 to %d", maxResults)
	}
	after, err := hex.DecodeString(page)
	if err != nil || len(after) != 0 && len(after) != 16 {
		return Page{}, errors.New("the page is none that a search has answered")
	}
	found := Page{Results: []json.RawMessage{}}
	err = l.db.View(func(tx *bolt.Tx) error {
		var last []byte
		for at, value := range q.entries(tx.Bucket(table), after) {
			var e stored
			if err := json.Unmarshal(value, &e); err != nil {
				return fmt.Errorf("read entry: %w", err)
			}
			if e.Seen.After(now) {
				continue
			}
			if len(found.Results) == limit {
				found.Next = hex.EncodeToString(last)
				return nil
			}
			last = at
			found.Results = append(found.Results, e.Entry)
		}
		return nil
	})
	return found, err
}

// entries visits a time range in the order of the query, beginning after a key if there is one.
func (q Query) entries(b *bolt.Bucket, after []byte) func(yield func(key, value []byte) bool) {
	first, end := key(q.from, 0), key(q.to, 0)
	return func(yield func(key, value []byte) bool) {
		c := b.Cursor()
		if q.ascending {
			start := first
			if len(after) > 0 {
				start = append(bytes.Clone(after), 0)
			}
			for k, v := c.Seek(start); k != nil && bytes.Compare(k, end) < 0 && yield(k, v); k, v = c.Next() {
			}
			return
		}
		if len(after) > 0 {
			end = after
		}
		k, v := c.Seek(end)
		if k == nil {
			k, v = c.Last()
		}
		for ; k != nil && bytes.Compare(k, first) >= 0; k, v = c.Prev() {
			if bytes.Compare(k, end) < 0 && !yield(k, v) {
				return
			}
		}
	}
}
