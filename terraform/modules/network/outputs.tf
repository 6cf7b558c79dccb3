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

output "egress" {
  description = "What the function's rules allow besides Oracle's services."
  value       = [for rule in oci_core_network_security_group_security_rule.allowed : "${rule.destination}:${rule.tcp_options[0].destination_port_range[0].min}"]
}

output "runner_egress" {
  description = "What the runners' rules allow besides Object Storage, by label."
  value       = { for label, runner in var.runners : label => [for name, rule in oci_core_network_security_group_security_rule.runner_allowed : "${rule.destination}:${rule.tcp_options[0].destination_port_range[0].min}" if startswith(name, "${label}:")] }
}
