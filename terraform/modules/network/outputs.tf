output "subnet_id" {
  description = "OCID of the private subnet."
  value       = oci_core_subnet.private.id
}

output "network_security_group_id" {
  description = "OCID of the group whose rules are the allow-list."
  value       = oci_core_network_security_group.function.id
}
