package manifest_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cemli-executor/manifest"
)

// python compiles a pattern to what Python understands by it: $ also stands before a line feed at the end, and \d for
// the digits of every script.
func python(pattern string) (jsonschema.Regexp, error) {
	text, ends := strings.CutSuffix(pattern, "$")
	if ends {
		text += `\n?\z`
	}
	return regexp.Compile(strings.ReplaceAll(text, `\d`, `\p{Nd}`))
}

// changed are the documents that come of one by a change of one text or key in it.
func changed(value any, change func(string) string, put func(any)) {
	switch v := value.(type) {
	case string:
		put(change(v))
	case []any:
		for i := range v {
			changed(v[i], change, func(n any) {
				other := slices.Clone(v)
				other[i] = n
				put(other)
			})
		}
	case map[string]any:
		for key := range v {
			other := maps.Clone(v)
			delete(other, key)
			other[change(key)] = v[key]
			put(other)
			changed(v[key], change, func(n any) {
				other := maps.Clone(v)
				other[key] = n
				put(other)
			})
		}
	}
}

// The schema means the same to checkers that are written in Python: in valid manifests a line feed is put behind each
// text and key, and digits are replaced by those of another script.
func TestSchemaInPython(t *testing.T) {
	t.Parallel()
	compiler := jsonschema.NewCompiler()
	compiler.UseRegexpEngine(python)
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range cases {
		var value any
		if len(c.want) > 0 || json.Unmarshal([]byte(c.doc), &value) != nil {
			continue
		}
		for _, change := range []func(string) string{
			func(s string) string { return s + "\n" },
			func(s string) string { return strings.ReplaceAll(s, "1", "١") },
		} {
			changed(value, change, func(other any) {
				doc, err := json.Marshal(other)
				if err != nil {
					t.Fatal(err)
				}
				again, err := jsonschema.UnmarshalJSON(strings.NewReader(string(doc)))
				if err != nil {
					t.Fatal(err)
				}
				compared++
				if refused := manifestRefuses(doc); refused != (schema.Validate(again) != nil) {
					t.Errorf("Parse refuses it: %v; Python would not agree:\n%s", refused, doc)
				}
			})
		}
	}
	if compared < 100 {
		t.Errorf("only %d documents were compared", compared)
	}
}

// manifestRefuses says whether Parse finds what a schema can see, too.
func manifestRefuses(doc []byte) bool {
	_, err := manifest.Parse(doc)
	return err != nil && slices.ContainsFunc(found(err), func(p string) bool {
		code, _, _ := strings.Cut(p, " ")
		return !slices.Contains(manifest.SchemaBlind, code)
	})
}
