output "rule_id" {
  description = "OCID of the rule."
  value       = oci_events_rule.packages.id
}

output "trigger_rule_ids" {
  description = "OCIDs of the rules for triggers, by their names."
  value       = { for name, rule in oci_events_rule.trigger : name => rule.id }
}
