// Package events holds the condition of the rule that hands events to the function: one
// file, read by Terraform, which deploys it, and by local OCI, which applies it.
package events

import (
	_ "embed"
	"strings"
)

//go:embed condition.json
var document string

// Condition returns the rule's condition for a bucket of packages.
func Condition(packagesBucket string) string {
	return strings.ReplaceAll(document, "${packages_bucket}", packagesBucket)
}
