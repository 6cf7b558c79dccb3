output "id" {
  description = "OCID of the compartment."
  value       = oci_identity_compartment.this.id
}
