// Package iam holds the policy statements of the function's principal: one file, read by
// Terraform, which deploys them, and by local OCI, which enforces them.
package iam

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
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

// Statements returns the statements with their ${placeholders} replaced. An empty value leaves
// the statements out that need it, as null does in Terraform; none is an error.
func Statements(values map[string]string) ([]Statement, error) {
	var all, list []Statement
	if err := json.Unmarshal(document, &all); err != nil {
		return nil, fmt.Errorf("read policy statements: %w", err)
	}
	for _, s := range all {
		whole := true
		for _, match := range placeholder.FindAllStringSubmatch(s.Statement, -1) {
			value, ok := values[match[1]]
			if !ok {
				return nil, fmt.Errorf("policy statement %s: no value for %s", s.Name, match[1])
			}
			whole = whole && value != ""
			s.Statement = strings.Replace(s.Statement, match[0], value, 1)
		}
		if whole {
			list = append(list, s)
		}
	}
	return list, nil
}
