package jobs

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
)

func someProbed() Probed {
	return Probed{
		Action: "probe", OK: true, Version: "1.0.0", Image: "i", Level: "basic", Gaps: []string{"init"},
		Credentials: CredentialsNone, Lines: []ProbedLine{{What: "kernel", OK: true, Says: "6.12"}},
	}
}

// A later version may say more, and an answer that is too long is cut, not refused: people read it.
func TestDecodeProbed(t *testing.T) {
	t.Parallel()
	want := someProbed()
	doc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeProbed(append([]byte(`{"later":[1],`), doc[1:]...))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	long := someProbed()
	long.OK = false
	long.Lines = []ProbedLine{{What: strings.Repeat("w", 5000), Says: strings.Repeat("é", 5000), Code: "made.up"}}
	if doc, err = json.Marshal(long); err != nil {
		t.Fatal(err)
	}
	got, err = DecodeProbed(doc)
	if err != nil || len(got.Lines[0].What) > 100 || len(got.Lines[0].Says) > 2000 || got.Lines[0].Code != "runner.probe" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDecodeProbedRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Probed){
		"another action":     func(p *Probed) { p.Action = "apply" },
		"no level":           func(p *Probed) { p.Level = "" },
		"an unknown level":   func(p *Probed) { p.Level = "total" },
		"gaps that are none": func(p *Probed) { p.Gaps = []string{"a b"} },
		"too many gaps":      func(p *Probed) { p.Gaps = slices.Repeat([]string{"init"}, 51) },
		"no credentials":     func(p *Probed) { p.Credentials = "" },
		"others":             func(p *Probed) { p.Credentials = "executor" },
		"no lines":           func(p *Probed) { p.Lines = nil },
		"too many lines":     func(p *Probed) { p.Lines = slices.Repeat(p.Lines, 101) },
		"too large":          func(p *Probed) { p.Lines[0].Says = strings.Repeat("x", MaxProbed) },
		"well, and is not":   func(p *Probed) { p.Lines[0].OK = false },
		"not well, and is":   func(p *Probed) { p.OK = false },
		"granted, and well":  func(p *Probed) { p.Credentials = CredentialsGranted },
	} {
		p := someProbed()
		change(&p)
		doc, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeProbed(doc); problem.CodeOf(err) != "runner.probe" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, doc := range []string{``, `null`, `[]`, `true`, `{"action":"probe"}`} {
		if _, err := DecodeProbed([]byte(doc)); problem.CodeOf(err) != "runner.probe" {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func FuzzDecodeProbed(f *testing.F) {
	doc, err := json.Marshal(someProbed())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := DecodeProbed(doc)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		second, err := DecodeProbed(again)
		if diff := cmp.Diff(p, second); diff != "" || err != nil {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
	})
}
