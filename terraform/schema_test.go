package terraform_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// metaSchema is Oracle's schema of schema.yaml, where it is beside the repository. Resource
// Manager publishes it:
// https://docs.oracle.com/en-us/iaas/Content/ResourceManager/Concepts/terraformconfigresourcemanager_topic-schema.htm
const metaSchema = "../../shared/data/rm-meta-schema.json"

// document is a schema.yaml, as values of JSON.
func document(t *testing.T, path string) any {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(read(t, path)), &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Resource Manager takes schema.yaml: Oracle's own schema says so.
func TestSchemaByOraclesSchema(t *testing.T) {
	byOraclesSchema(t, "schema.yaml")
}

// byOraclesSchema holds a schema.yaml to Oracle's schema, or skips.
func byOraclesSchema(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(metaSchema)
	if err != nil {
		t.Skipf("Resource Manager's meta schema is not beside the repository, so that schema.yaml is held to the "+
			"rules known here alone: %v", err)
	}
	defer file.Close()
	rules, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	if err := compiler.AddResource("rm.json", rules); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("rm.json")
	if err != nil {
		t.Fatal(err)
	}
	// A variable at a time: what is wrong with one of a hundred is otherwise not to be found.
	whole := document(t, path).(map[string]any)
	variables := whole["variables"].(map[string]any)
	for name, variable := range variables {
		one := map[string]any{"schemaVersion": "1.1.0", "variables": map[string]any{name: variable}}
		if err := schema.Validate(one); err != nil {
			t.Errorf("schema.yaml: %s does not fit: %v", name, variable)
		}
	}
	if err := schema.Validate(whole); err != nil && !t.Failed() {
		t.Errorf("schema.yaml does not fit: %v", err)
	}
}

// What broke it before, without Oracle's schema: the values of an enum are texts, and "and"
// and "or" have two operands.
func TestSchemaRules(t *testing.T) {
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case []any:
			for _, item := range value {
				walk(path, item)
			}
		case map[string]any:
			for key, item := range value {
				list, isList := item.([]any)
				switch {
				case key == "enum" && isList:
					for _, option := range append(list, value["default"]) {
						if _, ok := option.(string); !ok && option != nil {
							t.Errorf("schema.yaml: %s: the option %v is no text", path, option)
						}
					}
				case (key == "and" || key == "or") && len(list) != 2:
					t.Errorf("schema.yaml: %s: %q has %d operands instead of 2", path, key, len(list))
				}
				walk(path+"/"+key, item)
			}
		}
	}
	walk("", document(t, "schema.yaml"))
}
