package document_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/document"
	"cemli-executor/internal/problem"
)

// said are the problems of a document that a function reads, a line each.
func said(t *testing.T, doc string, read func(document.Node)) []string {
	t.Helper()
	var c document.Checker
	read(c.Root([]byte(doc)))
	var e *problem.Error
	if err := c.Refused(); err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	var lines []string
	if e != nil {
		for _, p := range e.Problems {
			lines = append(lines, strings.Join([]string{p.Code, p.Where, p.Message, p.Hint}, "|"))
		}
	}
	return lines
}

// one reads the member "v" of an object.
func one(read func(document.Node)) func(document.Node) {
	return func(n document.Node) { n.Fields([]document.Field{document.Required("v", read)}) }
}

var word = regexp.MustCompile(`^[a-z]+$`)

// Each value is what it should be, or a problem with a code, a place, a sentence and a cure.
func TestValues(t *testing.T) {
	t.Parallel()
	text := func(n document.Node) { n.Line(5) }
	choice := func(n document.Node) { n.Choice("c", "integer", "string") }
	boolean := func(n document.Node) { n.Boolean() }
	count := func(n document.Node) { n.Count(10) }
	between := func(n document.Node) { n.Whole(-1, 3) }
	few := func(n document.Node) { n.ListOf(2) }
	duration := func(n document.Node) { n.Duration() }
	words := func(n document.Node) { n.Words("w", word, "a word") }
	keyed := func(n document.Node) { n.Keyed("k", word, "a word") }
	object := func(n document.Node) {
		if !n.OrText(`{"a": 1}`) {
			n.Members()
		}
	}
	for _, c := range []struct {
		read  func(document.Node)
		value string
		want  string
	}{
		{text, `"abcde"`, ""},
		{text, `"abcdef"`, "manifest.text|/v|v has more than 5 characters|shorten it"},
		{text, `"a\nb"`, "manifest.text|/v|v has a control character|write it on one line, without control characters"},
		{text, `1`, "manifest.type|/v|v must be text|put the value in quotes"},
		{choice, `"string"`, ""},
		{choice, `"int"`, `c|/v|"int" is none of integer, string|did you mean integer?`},
		{boolean, `false`, ""},
		{boolean, `"false"`, "manifest.type|/v|v must be true or false|write it without quotes"},
		{count, `10`, ""},
		{count, `1e1`, ""},
		{count, `-0.0`, ""},
		{count, `11`, "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{count, `-1`, "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{count, `1.5`, "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{count, `1e999`, "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{count, `"1"`, "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{count, `1.` + strings.Repeat("0", 300), "manifest.number|/v|v must be a whole number from 0 to 10|"},
		{between, `-1`, ""},
		{between, `-2`, "manifest.number|/v|v must be a whole number from -1 to 3|"},
		{between, `4`, "manifest.number|/v|v must be a whole number from -1 to 3|"},
		{few, `[1,2]`, ""},
		{few, `[1,2,3]`, "manifest.too_many|/v|v has more than 2 members|"},
		{duration, `"1h30m"`, ""},
		{duration, `"5 min"`, `manifest.duration|/v|"5 min" is not a duration such as 90s or 1h30m|write "5m"`},
		{duration, `300`, `manifest.type|/v|v must be text|write it in quotes, with its unit: "300s"`},
		{duration, `"0s"`, "manifest.duration_range|/v|0s is not more than 0 and at most 24h0m0s|"},
		{duration, `"25h"`, "manifest.duration_range|/v|25h is not more than 0 and at most 24h0m0s|"},
		{words, `["a","b"]`, ""},
		{words, `["a","a"]`, "manifest.repeated|/v/1|a is there twice|keep one"},
		{words, `["A"]`, `w|/v/0|"A" is not a word|`},
		{words, `[1]`, "manifest.type|/v/0|each of v must be text|put the value in quotes"},
		{words, `{}`, "manifest.type|/v|v must be a list|write it in [ ]"},
		{keyed, `{"a":1}`, ""},
		{keyed, `{"A":1}`, `k|/v/A|the key "A" is not a word|`},
		{object, `"it is a secret"`, `manifest.type|/v|v must be an object|write it like {"a": 1}`},
		{object, `[` + strings.Repeat("1,", 1000) + `1]`, "manifest.type|/v|v must be an object|write it in { }"},
	} {
		got := strings.Join(said(t, `{"v":`+c.value+`}`, one(c.read)), "\n")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%.60s (-want +got):\n%s", c.value, diff)
		}
	}
}

// Values that are right come back as they are meant.
func TestValuesAsTheyAreMeant(t *testing.T) {
	t.Parallel()
	type values struct {
		Count    int64
		Duration time.Duration
		Words    []string
	}
	var got values
	none := said(t, `{"count":1.0e2,"duration":"1.5m","words":["b","a"]}`, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("count", func(v document.Node) { got.Count = v.Count(1000) }),
			document.Required("duration", func(v document.Node) { got.Duration = v.Duration() }),
			document.Optional("words", func(v document.Node) { got.Words = v.Words("w", word, "a word") }),
			document.Optional("more", func(document.Node) { t.Error("it is not there") }),
		})
	})
	if diff := cmp.Diff(values{100, 90 * time.Second, []string{"b", "a"}}, got); diff != "" || none != nil {
		t.Errorf("%q, values (-want +got):\n%s", none, diff)
	}
}

// Keys that the contract does not have are problems, but for those of the document's own that are the author's.
func TestKeys(t *testing.T) {
	t.Parallel()
	table := append([]document.Field{
		document.Required("name", func(n document.Node) { n.Line(10) }),
		document.Optional("step", func(n document.Node) { n.Fields(nil) }),
	}, document.Later("later", "lock")...)
	const doc = `{"nmae":"a","x-mine":1,"lock":true,"step":{"x-mine":1}}`
	c := document.Checker{Open: func(key string) bool { return strings.HasPrefix(key, "x-") }}
	c.Root([]byte(doc)).Fields(table)
	var got []string
	var e *problem.Error
	if !errors.As(c.Refused(), &e) {
		t.Fatal("nothing is wrong with it")
	}
	for _, p := range e.Problems {
		got = append(got, p.Code+" "+p.Where+": "+p.Message)
	}
	want := []string{
		"manifest.required : the key name is missing",
		"manifest.unknown_key /step/x-mine: unknown key x-mine",
		"later /lock: this version does not support the key lock",
		"manifest.unknown_key /nmae: unknown key nmae; did you mean name?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A document with thousands of problems is refused with the first of them, and how many more there are.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	lines := said(t, `[`+strings.Repeat("1,", 999)+`1]`, func(n document.Node) {
		for _, e := range n.List() {
			e.Line(1)
		}
	})
	if n := len(lines); n != problem.Most+1 || !strings.HasPrefix(lines[n-1], "manifest.more|") ||
		!strings.Contains(lines[n-1], fmt.Sprint(1000-problem.Most)) {
		t.Errorf("%d problems, the last of them %q", n, lines[n-1])
	}
	more := said(t, `[`+strings.Repeat("1,", 1000)+`1]`, func(n document.Node) { n.List() })
	if diff := cmp.Diff([]string{"manifest.too_many||the document has more than 1000 members|"}, more); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// One code can stand for all, as where the whole document is either understood or not.
func TestOneCodeForAll(t *testing.T) {
	t.Parallel()
	c := document.Checker{Code: "policy.unavailable"}
	c.Root([]byte(`1`)).Boolean()
	c.Add("", "/environment", "it is another's", "")
	var e *problem.Error
	if !errors.As(c.Refused(), &e) || len(e.Problems) != 2 {
		t.Fatalf("%v", e)
	}
	for _, p := range e.Problems {
		if p.Code != c.Code {
			t.Errorf("%+v", p)
		}
	}
}

// Expressions are measured before they are compiled, each and all of a document together.
func TestExpressions(t *testing.T) {
	t.Parallel()
	expression := one(func(n document.Node) { n.Expression(n.Text(10_000)) })
	for text, want := range map[string]string{
		`^[a-z]{1,62}$`: "", `(`: "v is no RE2 expression",
		`(?:abcdefghijkl){900}`: "v would be compiled to more than 10000 instructions",
	} {
		got := strings.Join(said(t, fmt.Sprintf(`{"v":%q}`, text), expression), "\n")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
	together := said(t, `[`+strings.Repeat(`"a{900}",`, 200)+`""]`, func(n document.Node) {
		for _, e := range n.List() {
			e.Expression(e.Line(100))
		}
	})
	if len(together) != 1 || !strings.Contains(together[0], "with the expressions before it") {
		t.Errorf("%q", together)
	}
	var c document.Checker
	e := c.Root(nil).Expression("a+b")
	if !e.Rule.MatchString("aab") || e.Work("aab") <= e.Work("") || (document.Expression{}).Work("aab") != 0 {
		t.Errorf("%v of %d instructions", e.Rule, e.Size)
	}
}

// What a document says is quoted in messages as far as people read it, and never as anything but text.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\x1bb": `a\x1bb`, "a\nb": `a\nb`, strings.Repeat("a", 100): strings.Repeat("a", 80) + "…",
	} {
		if got := document.Printable(text); got != want {
			t.Errorf("%q is %q; want %q", text, got, want)
		}
	}
}
