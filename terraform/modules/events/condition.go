// Package events holds the conditions of the rules that hand events to the function: a file
// for uploads and one for what starts packages besides, read by Terraform, which deploys them,
// and by local OCI, which applies them.
package events

import (
	_ "embed"
	"strings"
)

//go:embed condition.json
var document string

//go:embed trigger.json
var trigger string

// NewSecretVersion is the type of the event of a secret that was rotated. No tenancy has shown it yet:
// docs/operations/unverified.md says where it is from.
const NewSecretVersion = "com.oraclecloud.vaultsecret.createsecretversion"

// Condition returns the rule's condition for a bucket of packages.
func Condition(packagesBucket string) string {
	return strings.ReplaceAll(document, "${packages_bucket}", packagesBucket)
}

// TriggerCondition returns the condition of the rule for events of a type about a resource by its
// name, in which * stands for anything.
func TriggerCondition(eventType, name string) string {
	return strings.NewReplacer("${event_type}", eventType, "${attribute}", "resourceName", "${resource}",
		name).Replace(trigger)
}
