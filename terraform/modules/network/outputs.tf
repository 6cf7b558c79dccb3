output "subnet_id" {
  description = "OCID of the function's private subnet."
  value       = oci_core_subnet.private.id
}

output "network_security_group_id" {
  description = "OCID of the group whose rules are the allow-list."
  value       = oci_core_network_security_group.function.id
}

output "runner_subnet_ids" {
  description = "OCIDs of the runners' subnets, by label."
  value       = { for label, subnet in oci_core_subnet.runner : label => subnet.id }
}

output "runner_network_security_group_ids" {
  description = "OCIDs of the groups whose rules are the runners' allow-lists, by label."
  value       = { for label, group in oci_core_network_security_group.runner : label => group.id }
}
