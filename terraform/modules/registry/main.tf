resource "oci_artifacts_container_repository" "image" {
  compartment_id = var.compartment_id
  display_name   = var.name
  is_public      = false
  is_immutable   = true # a tag that was tested cannot come to mean another image
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}
