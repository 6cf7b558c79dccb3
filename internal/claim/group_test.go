package claim_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/store"
)

func at(milliseconds int64) time.Time { return time.UnixMilli(milliseconds).UTC() }

// Each place is before all that follow it.
var inOrder = []claim.Place{
	{Created: at(1000), Object: "queued-by-an-earlier-version.zip", ETag: "a"},
	{Created: at(1000), Object: "queued-by-an-earlier-version.zip", ETag: "b"},
	{Created: at(1000), Package: "gl", Version: "1.9.0", Object: "z.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "1.10.0-rc.1", Object: "y.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "1.10.0-rc.2", Object: "x.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "1.10.0", Object: "w.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "1.10.0+again", Object: "w1.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "1.10.0", Object: "w2.zip", ETag: "a", Set: "DE"},
	{Created: at(1000), Package: "gl", Version: "1.10.0", Object: "w2.zip", ETag: "a", Set: "FR"},
	{Created: at(1000), Package: "gl", Version: "18446744073709551616.0.0", Object: "v.zip", ETag: "a"},
	{Created: at(1000), Package: "gl", Version: "18446744073709551617.0.0", Object: "u.zip", ETag: "a"},
	{Created: at(1000), Package: "hr", Version: "0.1.0", Object: "a.zip", ETag: "a"},
	{Created: at(1001), Object: "queued-by-an-earlier-version.zip", ETag: "a"},
	{Created: at(1001), Package: "gl", Version: "0.0.1", Object: "a.zip", ETag: "a"},
}

func TestTheOrderOfPlaces(t *testing.T) {
	t.Parallel()
	for i, p := range inOrder {
		for j, q := range inOrder {
			if got, want := p.Compare(q), sign(i-j); got != want {
				t.Errorf("%+v and %+v: %d; want %d", p, q, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(n, 1)) }

// A queue that an earlier version wrote is read, its order stays, and later runs find their places.
func TestAQueueOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const doc = `{"schema_version":1,"writer":"w","environment":"prod","name":"gl","fence":7,
		"last":{"created":"1970-01-01T00:00:00Z","object":"a.zip","etag":"a"},
		"queue":[{"created":"1970-01-01T00:00:01Z","object":"a.zip","etag":"a","key":"k1","mark":"k1-1"},
		{"created":"1970-01-01T00:00:01Z","object":"b.zip","etag":"a","key":"k2","mark":"k2-1"},
		{"created":"1970-01-01T00:00:02Z","object":"a.zip","etag":"b","key":"k3","mark":"k3-1"}]}`
	_, err = b.Put(t.Context(), "groups/prod/gl.json", strings.NewReader(doc), int64(len(doc)), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := book(b, "prod").Group(t.Context(), "gl")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []claim.Waiting{
		{
			Place: claim.Place{Created: at(1500), Package: "gl", Version: "1.10.0", Object: "a.zip", ETag: "c"},
			Key:   "n3",
		},
		{Place: claim.Place{Created: at(1500), Package: "gl", Version: "1.9.0", Object: "b.zip", ETag: "c"}, Key: "n2"},
		{Place: claim.Place{Created: at(1000), Package: "gl", Version: "1.8.0", Object: "0.zip", ETag: "c"}, Key: "n1"},
	} {
		if ok, err := g.Wait(t.Context(), w); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	g, err = book(b, "prod").Group(t.Context(), "gl")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range g.Queue {
		keys = append(keys, w.Key)
	}
	if diff := cmp.Diff([]string{"k1", "k2", "n1", "n2", "n3", "k3"}, keys); diff != "" {
		t.Error("queue (-want +got):\n" + diff)
	}
	if !slices.IsSortedFunc(g.Queue, func(a, b claim.Waiting) int { return a.Compare(b.Place) }) {
		t.Errorf("the queue is not in its order: %+v", g.Queue)
	}
	first, err := json.Marshal(g.Queue[0])
	want := `{"created":"1970-01-01T00:00:01Z","object":"a.zip","etag":"a","key":"k1","mark":"k1-1"}`
	if err != nil || string(first) != want {
		t.Errorf("an entry is now %s, %v; want %s", first, err, want)
	}
	late, ok, err := g.Enter(t.Context(), claim.Waiting{Place: g.Queue[0].Place, Key: "k1"}, "run",
		time.Now().Add(time.Minute))
	if late || !ok || err != nil {
		t.Errorf("the first enters: late %v, %v, %v", late, ok, err)
	}
}

// Places have one order, whatever their versions are.
func TestOrderIsTransitive(t *testing.T) {
	t.Parallel()
	texts := []string{
		"", "1", "x", "01.0.0", "1.0.0", "1.0", "1.0.0-a", "1.0.0+a", "99999999999999999999.0.0", "v1.0.0",
	}
	pick := func() claim.Place {
		return claim.Place{
			Created: at(int64(rand.IntN(2))), Package: []string{"", "p"}[rand.IntN(2)],
			Version: texts[rand.IntN(len(texts))], Object: []string{"a", "b"}[rand.IntN(2)],
		}
	}
	for range 20_000 {
		a, b, c := pick(), pick(), pick()
		if a.Compare(b) != -b.Compare(a) || a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%+v, %+v, %+v", a, b, c)
		}
	}
}
