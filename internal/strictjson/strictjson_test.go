package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"cemli-executor/internal/strictjson"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		doc     string
		kind    strictjson.Kind
		pointer string
		line    int // 0: nothing is wrong
	}{
		{doc: `{"a":[1,{"b":null}]} `},
		{doc: `"text"`},
		{doc: ` [[[1]]]`},
		{" \n", strictjson.Empty, "", 1},
		{"{\n\"a\":1,\n\"a\":2}", strictjson.Duplicate, "/a", 3},
		{`{"x":[{"k":1,"k":2}]}`, strictjson.Duplicate, "/x/0/k", 1},
		{`[[[[1]]]]`, strictjson.Depth, "", 1},
		{`{} {}`, strictjson.Trailing, "", 1},
		{`{"a":1}x`, strictjson.Trailing, "", 1},
		{`{"a":tru}`, strictjson.Syntax, "/a", 1},
		{"\"\xff\"", strictjson.Syntax, "", 1},
		{"{}\f", strictjson.Trailing, "", 1},
		{"{}\v", strictjson.Trailing, "", 1},
		{"{}\x00", strictjson.Trailing, "", 1},
		{"{}\u00a0", strictjson.Trailing, "", 1},
		{"{}\u0085\n", strictjson.Trailing, "", 1},
		{"{}\n\u2028", strictjson.Trailing, "", 1},
		{"{}\ufeff", strictjson.Trailing, "", 1},
		{"\f{}", strictjson.Syntax, "", 1},
		{"\f", strictjson.Syntax, "", 1},
		{"\xef\xbb\xbf{}", strictjson.Mark, "", 1},
		{"{\n\"a\": 1,\n}", strictjson.Comma, "", 2},
		{`{"a":[1,2,]}`, strictjson.Comma, "", 1},
		{`{"a":[1,,2]}`, strictjson.Syntax, "/a/1", 1},
		{`{"a":`, strictjson.Syntax, "/a", 1},
		{strings.Repeat("[", 1_000_000), strictjson.Depth, "", 1},
	} {
		fault := strictjson.Check([]byte(c.doc), 3)
		switch {
		case fault == nil && c.line != 0:
			t.Errorf("%.40q was accepted", c.doc)
		case fault != nil && (fault.Kind != c.kind || fault.Pointer != c.pointer || fault.Line != c.line ||
			fault.Reason == ""):
			t.Errorf("%.40q: %+v; want kind %d at %q, line %d", c.doc, *fault, c.kind, c.pointer, c.line)
		}
	}
}

// Of a large document neither the names of its objects nor its elements are all noted.
func TestBounds(t *testing.T) {
	for doc, ok := range map[string]bool{
		`{"a":1,"b":2}`: true, `{"a":1,"b":2,"c":3}`: false, `[1,2,3]`: true, `{"a":[1,2,3]}`: true,
		`{"a":{},"b":{"a":1,"b":2}}`: true, `[{"a":{"a":1,"b":2,"c":{}}}]`: false,
	} {
		if fault := strictjson.CheckBounded([]byte(doc), 4, 2); (fault == nil) != ok ||
			fault != nil && fault.Kind != strictjson.Wide {
			t.Errorf("%s: %+v", doc, fault)
		}
	}
	if all, ok := strictjson.FirstElements([]byte(`[1,[2],3]`), 2); !ok || len(all) != 2 || string(all[1]) != "[2]" {
		t.Errorf("%v, %s", ok, all)
	}
}

// What is accepted is JSON for every other reader, too, and stays so without its white space.
func FuzzCheck(f *testing.F) {
	for _, doc := range []string{
		"{}\f", " [1, {\"a\" :\t\"\\u202e\\ud83d\\ude00\"}]\r\n", "\"\\ud800\"", "1e999", "-0", "\u00a0{}",
		"{\"a\":1}\x00",
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if strictjson.Check(doc, 64) != nil {
			return
		}
		before := string(doc)
		compact := strictjson.Compact(doc)
		if !json.Valid(doc) || !json.Valid(compact) || !utf8.Valid(compact) || string(doc) != before {
			t.Fatalf("%q was accepted, and is %q", doc, compact)
		}
	})
}

func TestParts(t *testing.T) {
	t.Parallel()
	members, ok := strictjson.Members([]byte(`{"a":"x\u0041","b":[1]}`))
	if text, isText := strictjson.Text(members["a"]); !ok || !isText || text != "xA" || string(members["b"]) != "[1]" {
		t.Errorf("members %v", members)
	}
	if _, ok := strictjson.Members([]byte(`[1]`)); ok {
		t.Error("an array has members")
	}
	if _, ok := strictjson.Text(members["b"]); ok {
		t.Error("a list is text")
	}
}
