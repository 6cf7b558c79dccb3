package intake

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cemli-executor/internal/problem"
)

func TestNameFromObject(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		"hello-cemli-1.0.0.zip": "hello-cemli", "in/deep/a.zip": "a", "A B (copy).ZIP": "a-b-copy-",
		"x-1.2.3-rc.1+b.zip": "x",
		"x-v2.0.0.zip":       "x", "…": "unnamed", "": "unnamed", ".zip": "unnamed", "-1.0.0.zip": "unnamed",
	} {
		if got := PackageName(object); got != want {
			t.Errorf("PackageName(%q) = %q; want %q", object, got, want)
		}
	}
}

// A run key must differ where any of its parts does, also when the parts' texts joined
// are the same, and must not where only the spelling of the parameters does.
func TestRunKey(t *testing.T) {
	t.Parallel()
	base := Request{Namespace: "n", Bucket: "b", Object: "o", ETag: "e"}
	change := func(f func(*Request)) Request { q := base; f(&q); return q }
	different := []Request{
		base,
		change(func(q *Request) { q.Namespace = "x" }),
		change(func(q *Request) { q.Bucket = "bo"; q.Object = "" }),
		change(func(q *Request) { q.ETag = "x" }),
		change(func(q *Request) { q.Action = ActionCheck }),
		change(func(q *Request) { q.ParameterSet = "FR" }),
		change(func(q *Request) { q.Slot = "2026-01-01T00:00:00Z" }),
		change(func(q *Request) { q.Parameters = map[string]json.RawMessage{"A": json.RawMessage(`1`)} }),
	}
	seen := map[string]int{}
	for i, q := range different {
		if other, ok := seen[q.Key("test")]; ok {
			t.Errorf("requests %d and %d have the same key", i, other)
		}
		seen[q.Key("test")] = i
	}
	if base.Key("test") == base.Key("prod") {
		t.Error("the environment is not part of the key")
	}
	explicit := change(func(q *Request) { q.Action, q.Reason = ActionApply, "again" })
	if explicit.Key("test") != base.Key("test") {
		t.Error("saying apply, or a reason, makes it another execution")
	}
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(base.Key("test")) {
		t.Errorf("key %q", base.Key("test"))
	}
}

func TestMetadataChoosesOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		metadata map[string]string
		request  Request
		want     Request
		code     string
	}{
		{"nothing", map[string]string{"other": "x"}, Request{}, Request{}, ""},
		{
			"all",
			map[string]string{
				"cemli-action": "check", "Cemli-Parameter-Set": "FR", "cemli-reason": "r", "cemli-reference": "INC1",
			},
			Request{},
			Request{Action: ActionCheck, ParameterSet: "FR", Reason: "r", Reference: "INC1"},
			"",
		},
		{
			"the request wins",
			map[string]string{"cemli-action": "dry_run"},
			Request{Action: ActionApply},
			Request{Action: ActionApply},
			"",
		},
		{"more than it may", map[string]string{"cemli-action": "rollback"}, Request{}, Request{}, "trigger.metadata"},
		{"misspelt", map[string]string{"cemli-acton": "check"}, Request{}, Request{}, "trigger.metadata"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.request.ReadMetadata(c.metadata)
			if problem.CodeOf(err) != c.code {
				t.Fatalf("error %v; want code %q", err, c.code)
			}
			if diff := cmp.Diff(c.want, c.request, cmpopts.IgnoreUnexported(Request{})); err == nil && diff != "" {
				t.Error("(-want +got):\n" + diff)
			}
		})
	}
}
