package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"cemli-executor/internal/redact"

	"github.com/google/go-cmp/cmp"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	m := redact.New([]string{
		"hunter2", "123456", `","version":"1.0.0"`, `"eventType":"`, "extension", "1234567890123456789",
		"line one\nline two",
	})
	about := redact.Document{
		Fixed: func(word string) bool { return word == "type" || word == "extension" },
		Hide:  func(pointer string) bool { return pointer == "/parameters/P/default" || pointer == "/parameters/a~1b" },
	}
	for doc, want := range map[string]string{
		`{"name":"x","version":"1.0.0"}`:                             ``,
		`{"eventType":"com.oracle"}`:                                 ``,
		`{ "a" : "x hunter2 y" ,"b":[1,"hunter2"] }`:                 `{ "a" : "x *** y" ,"b":[1,"***"] }`,
		`{"type":"extension","kind":"an extension"}`:                 `{"type":"extension","kind":"an ***"}`,
		`{"n":123456,"m":[1.23456e5,0.5],"t":true}`:                  `{"n":"***","m":["***",0.5],"t":true}`,
		`1234567890123456789`:                                        `"***"`,
		`{"hunter2":1,"a hunter2":2,"hunter2x":3,"h":{"hunter2":4}}`: `{"***":1,"a ***":2,"***x":3,"h":{"***":4}}`,
		`{"hunter2":1,"\u0068unter2":2}`:                             `{"***":1,"*** (2)":2}`,
		`{"hunter2":1,"***":2,"h":{"*** (2)":3}}`:                    `{"*** (3)":1,"***":2,"h":{"*** (2)":3}}`,
		`{"***":1,"hunter2":2,"hunter2 (2)":3}`:                      `{"***":1,"*** (2)":2,"*** (2) (2)":3}`,
		`{"parameters":{"P":{"default":[1,{"x":2}],"type":"string"},"a/b":true,"Q":{"default":"short"}}}`: `{"parameters":{"P":{"default":"***","type":"string"},"a/b":"***","Q":{"default":"short"}}}`,
		`"line one\nline two"`:                    `"***"`,
		`{"nested":"{\"pw\":\"\\u0068unter2\"}"}`: `{"nested":"{\"pw\":\"***\"}"}`,
		"{\"a\":1}\n":                             ``,
		`[]`:                                      ``,
		"{\"a\":\"hunter2\"}\f":                   `"{\"a\":\"***\"}\f"`,
		`{"a":hunter2}`:                           `"{\"a\":***}"`,
		``:                                        `""`,
	} {
		if want == "" && doc != "" {
			want = doc
		}
		if diff := cmp.Diff(want, string(m.JSON([]byte(doc), about))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", doc, diff)
		}
	}
	var none *redact.Masker
	if got := string(none.JSON([]byte(`{"a":1}`), redact.Document{})); got != `{"a":1}` {
		t.Errorf("without secrets: %s", got)
	}
}

// FuzzJSON: what is masked is JSON, and no text in it has the secret.
func FuzzJSON(f *testing.F) {
	f.Add(`{"a":["hunter2",{"hunter2":123456}],"b":"\ud83d\u0000"}`)
	f.Add("\xff{\"hunter2\":\"\xff\"}")
	m := redact.New([]string{"hunter2", "123456"})
	f.Fuzz(func(t *testing.T, doc string) {
		masked := m.JSON([]byte(doc), redact.Document{})
		var value any
		if err := json.Unmarshal(masked, &value); err != nil {
			t.Fatalf("%q became %q: %v", doc, masked, err)
		}
		if again, err := json.Marshal(value); err != nil || strings.Contains(string(again), "hunter2") {
			t.Errorf("%q became %q (%v)", doc, masked, err)
		}
	})
}
