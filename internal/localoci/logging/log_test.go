package logging

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci/index"
)

func open(t *testing.T) *log {
	t.Helper()
	db, err := index.Open(filepath.Join(t.TempDir(), "db"), Tables)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l, err := openLog(db, "id")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The log keeps the newest entries, and the size of an entry is bounded.
func TestTheLogIsBounded(t *testing.T) {
	t.Parallel()
	l, at := open(t), time.Now()
	l.kept = maxKept - 2 // as if so many were there
	for n := range 5 {
		err := l.add(Entry{Write: Write{Start: at.Add(time.Duration(n) * time.Second), ETag: fmt.Sprint(n)}}, at)
		if err != nil {
			t.Fatal(err)
		}
	}
	found, err := l.search(Query{from: at.Add(-time.Hour), to: at.Add(time.Hour), ascending: true}, 0, "", at)
	if err != nil || len(found.Results) != 2 || !strings.Contains(string(found.Results[0]), `"eTag":"3"`) {
		t.Errorf("%s, %v", found.Results, err)
	}
	if err := l.add(Entry{Write: Write{Start: at, UserAgent: strings.Repeat("x", maxEntry)}}, at); err == nil {
		t.Error("an entry of any size is taken")
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add(`{"timeStart":"2026-01-01T00:00:00Z","timeEnd":"2026-01-02T00:00:00Z",
		"searchQuery":"search \"a/b/c\" | sort by datetime asc"}`)
	f.Fuzz(func(t *testing.T, body string) {
		q, err := ParseQuery([]byte(body))
		if err == nil && (q.Compartment == "" || strings.ContainsAny(q.Compartment+q.Group+q.Log, "\"/ ") ||
			q.to.Sub(q.from) > maxRange) {
			t.Errorf("%+v", q)
		}
	})
}
