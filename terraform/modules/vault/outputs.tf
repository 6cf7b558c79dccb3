output "vault_id" {
  description = "OCID of the vault."
  value       = oci_kms_vault.this.id
}

output "secrets_key_id" {
  description = "OCID of the key that secrets are encrypted with."
  value       = oci_kms_key.this["secrets"].id
}

output "storage_key_id" {
  description = "OCID of the key for the buckets; null if there is none."
  value       = try(oci_kms_key.this["storage"].id, null)
}

output "signing_key_id" {
  description = "OCID of the key that signs evidence; null if there is none."
  value       = try(oci_kms_key.this["signing"].id, null)
}
