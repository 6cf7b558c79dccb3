package objectstorage_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"cemli-executor/internal/localoci/localtest"
)

// hostile are names that a careless server misinterprets.
var hostile = []string{
	"../../etc/passwd", "..", ".", "a//b", "/leading", "trailing/", "%2e%2e%2f", "%2F", "a\\b", "C:\\x", "ü/日本",
	"a b+c", "q?x=1#y",
	strings.Repeat("x", 1024), "o/b/n", "index.db",
}

func TestNamesAreStoredAsGiven(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	for _, name := range hostile {
		if resp, doc := p.Send(t, "PUT", localtest.Object(s, "packages", name), name, nil); resp.StatusCode != 200 {
			t.Errorf("put %.30q: status %d %v", name, resp.StatusCode, doc)
		}
	}
	resp, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/packages/o?fields=name,size", "", nil)
	if resp.StatusCode != 200 {
		t.Fatalf("list: status %d %v", resp.StatusCode, doc)
	}
	sizes := map[string]int{}
	for _, o := range doc["objects"].([]any) {
		o := o.(map[string]any)
		sizes[o["name"].(string)] = int(o["size"].(float64))
	}
	for _, name := range hostile {
		if sizes[name] != len(name) {
			t.Errorf("%.30q has size %d; want %d", name, sizes[name], len(name))
		}
	}
	for _, name := range []string{strings.Repeat("x", 1025), "nul\x00", "\xff"} {
		resp, doc := p.Send(t, "PUT", localtest.Object(s, "packages", name), "x", nil)
		if resp.StatusCode != 400 || doc["code"] != "InvalidObjectName" {
			t.Errorf("put %.30q: status %d %v; want 400 InvalidObjectName", name, resp.StatusCode, doc)
		}
	}
}

func TestListing(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	for _, name := range []string{"a/1", "a/2", "b", "c/d/3", "e"} {
		p.Send(t, "PUT", localtest.Object(s, "state", name), "x", nil)
	}
	for query, want := range map[string]string{
		"":                      `["a/1","a/2","b","c/d/3","e"] [] `,
		"delimiter=/":           `["b","e"] ["a/","c/"] `,
		"delimiter=/&prefix=c/": `[] ["c/d/"] `,
		"prefix=a/":             `["a/1","a/2"] [] `,
		"limit=2":               `["a/1","a/2"] [] b`,
		"limit=2&delimiter=/":   `["b"] ["a/"] c/d/3`,
		"start=b&limit=1":       `["b"] [] c/d/3`,
		"start=a/2&end=c":       `["a/2","b"] [] `,
		"startAfter=b":          `["c/d/3","e"] [] `,
		"prefix=nothing":        `[] [] `,
	} {
		resp, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?"+query, "", nil)
		names := []string{}
		for _, o := range doc["objects"].([]any) {
			names = append(names, o.(map[string]any)["name"].(string))
		}
		prefixes, _ := doc["prefixes"].([]any)
		if prefixes == nil {
			prefixes = []any{}
		}
		next, _ := doc["nextStartWith"].(string)
		n, _ := json.Marshal(names)
		f, _ := json.Marshal(prefixes)
		if got := fmt.Sprintf("%s %s %s", n, f, next); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: status %d, %s; want %s", query, resp.StatusCode, got, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "delimiter=,"} {
		if resp, _ := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/state/o?"+query, "", nil); resp.StatusCode != 400 {
			t.Errorf("%s: status %d; want 400", query, resp.StatusCode)
		}
	}
}
