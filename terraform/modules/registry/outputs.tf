output "repository_id" {
  description = "OCID of the container repository."
  value       = oci_artifacts_container_repository.image.id
}
