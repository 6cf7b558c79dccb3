// Package iam holds the policy statements of the function's principal: one file, read by
// Terraform, which deploys them, and by local OCI, which enforces them.
package iam

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
)

//go:embed statements.json
var document []byte

// Statement is one policy statement, in OCI's language, with its reason.
type Statement struct {
	Name      string `json:"name"`
	Why       string `json:"why"`
	Statement string `json:"statement"`
}

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

// Statements returns the statements with their ${placeholders} replaced. A placeholder
// without a value is an error.
func Statements(values map[string]string) ([]Statement, error) {
	var list []Statement
	if err := json.Unmarshal(document, &list); err != nil {
		return nil, fmt.Errorf("read policy statements: %w", err)
	}
	for i := range list {
		var missing string
		list[i].Statement = placeholder.ReplaceAllStringFunc(list[i].Statement, func(match string) string {
			name := placeholder.FindStringSubmatch(match)[1]
			value, ok := values[name]
			if !ok {
				missing = name
			}
			return value
		})
		if missing != "" {
			return nil, fmt.Errorf("policy statement %s: no value for %s", list[i].Name, missing)
		}
	}
	return list, nil
}
