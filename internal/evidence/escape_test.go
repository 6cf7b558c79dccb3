package evidence_test

import (
	"encoding/json"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a.zip":               `"a.zip"`,
		"\u202egpj.zip":       `"\u202egpj.zip"`,
		"a\u200f\u0085b\x7f":  `"a\u200f\u0085b\u007f"`,
		"tab\tü財👍":            `"tab\tü財👍"`,
		"\u2066\u2067\u2069é": `"\u2066\u2067\u2069é"`,
	} {
		doc, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		plain := evidence.Plain(doc)
		var back string
		if err := json.Unmarshal(plain, &back); err != nil || back != text || string(plain) != want {
			t.Errorf("%q is %s, which is %q, %v; want %s", text, plain, back, err, want)
		}
	}
}

// A result shows everything that it says.
func TestResultsAreEncodedPlainly(t *testing.T) {
	t.Parallel()
	r := evidence.Result{
		SourceObject: "a\u202egpj.zip", Trigger: evidence.Trigger{Raw: json.RawMessage("{\"n\":\"a\u202egpj.zip\"}")},
	}
	doc, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsRune(string(doc), '\u202e') || strings.Count(string(doc), `a\u202egpj.zip`) != 2 {
		t.Errorf("%s", doc)
	}
	back, err := evidence.Decode(doc)
	if err != nil || back.SourceObject != r.SourceObject {
		t.Errorf("%q, %v", back.SourceObject, err)
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("a\u202eb")
	f.Add("\u0085\x7f\u200e")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		plain := evidence.Plain(doc)
		if strings.ContainsFunc(string(plain), evidence.Deceptive) {
			t.Fatalf("%q", plain)
		}
		var want, got string
		if json.Unmarshal(doc, &want) != nil || json.Unmarshal(plain, &got) != nil || want != got {
			t.Fatalf("%q became %q", want, got)
		}
	})
}
