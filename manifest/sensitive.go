package manifest

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/document"
)

// MaxSensitive bounds the values that a manifest gives to sensitive parameters, in bytes, all together: everything that
// a run writes is searched for each of them.
const MaxSensitive = 16 << 10

// given counts a value of a parameter, and notes a problem when the total becomes too large.
func (r *valueReader) given(n document.Node, p Parameter, v *Value) {
	if v == nil || !p.Sensitive {
		return
	}
	before := r.sensitive
	r.sensitive += len(v.text)
	if before <= MaxSensitive && r.sensitive > MaxSensitive {
		n.Bad("manifest.sensitive_size",
			fmt.Sprintf("with this one the values of sensitive parameters have more than %d bytes together",
				MaxSensitive),
			"keep long ones in the vault, and name them under secrets")
	}
}

// SensitiveValues returns all values that the manifest has for sensitive parameters: defaults, and those of every
// environment and set.
func (m *Manifest) SensitiveValues() []Value {
	var values []Value
	for name, p := range m.Parameters {
		if !p.Sensitive {
			continue
		}
		if p.Default != nil {
			values = append(values, *p.Default)
		}
		for _, groups := range []map[string]map[string]Value{m.EnvironmentParameters, m.ParameterSets} {
			for _, group := range groups {
				if v, ok := group[name]; ok {
					values = append(values, v)
				}
			}
		}
	}
	return values
}

// Shows reports whether a parameter is declared and not sensitive.
func (m *Manifest) Shows(parameter string) bool {
	p, declared := m.Parameters[parameter]
	return declared && !p.Sensitive
}

// Hides reports whether a JSON pointer into the document is that of a value, or a list of values, of a sensitive
// parameter.
func (m *Manifest) Hides(pointer string) bool {
	var tokens []string
	for token := range jsontext.Pointer(pointer).Tokens() {
		tokens = append(tokens, token)
	}
	if len(tokens) != 3 {
		return false
	}
	switch tokens[0] {
	case "parameters":
		return m.Parameters[tokens[1]].Sensitive && strings.Contains(" default enum ", " "+tokens[2]+" ")
	case "environment_parameters", "parameter_sets":
		return m.Parameters[tokens[2]].Sensitive
	}
	return false
}
