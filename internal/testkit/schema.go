package testkit

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// resultSchema is the published schema of results.
var resultSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	_, file, _, _ := runtime.Caller(0)
	doc, err := os.ReadFile(filepath.Join(filepath.Dir(file), "../../executor/result.schema.json"))
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("result.json", parsed); err != nil {
		return nil, err
	}
	return c.Compile("result.json")
})

// CheckResult fails if a result document is not what its published schema says.
func CheckResult(t testing.TB, doc []byte) {
	t.Helper()
	schema, err := resultSchema()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parsed); err != nil {
		t.Errorf("the result is not what its schema says: %v\n%s", err, doc)
	}
}
