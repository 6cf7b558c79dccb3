output "rule_id" {
  description = "OCID of the rule."
  value       = oci_events_rule.packages.id
}
