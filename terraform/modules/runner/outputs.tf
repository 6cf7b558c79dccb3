output "application_id" {
  description = "OCID of the application, which the runner's log belongs to."
  value       = oci_functions_application.this.id
}

output "function_id" {
  description = "OCID of the function; null as long as it is not created."
  value       = one(oci_functions_function.this[*].id)
}

output "config" {
  description = "The runner's configuration."
  value       = local.config
}
