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

// The published schemas of what runs leave.
var (
	resultSchema    = published("result.schema.json")
	requesterSchema = published("requester.schema.json")
)

// published reads a schema of the executor's, when it is first needed.
func published(name string) func() (*jsonschema.Schema, error) {
	return sync.OnceValues(func() (*jsonschema.Schema, error) {
		_, file, _, _ := runtime.Caller(0)
		doc, err := os.ReadFile(filepath.Join(filepath.Dir(file), "../../executor", name))
		if err != nil {
			return nil, err
		}
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			return nil, err
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(name, parsed); err != nil {
			return nil, err
		}
		return c.Compile(name)
	})
}

// CheckResult fails if a result document is not what its published schema says.
func CheckResult(t testing.TB, doc []byte) {
	t.Helper()
	check(t, resultSchema, doc)
}

// CheckRequester fails if a document about who uploaded is not what its published schema says.
func CheckRequester(t testing.TB, doc []byte) {
	t.Helper()
	check(t, requesterSchema, doc)
}

func check(t testing.TB, published func() (*jsonschema.Schema, error), doc []byte) {
	t.Helper()
	schema, err := published()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parsed); err != nil {
		t.Errorf("the document is not what its schema says: %v\n%s", err, doc)
	}
}
