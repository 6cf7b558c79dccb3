resource "oci_identity_compartment" "this" {
  compartment_id = var.parent_id
  name           = var.name
  description    = var.description
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  # A compartment that Terraform may delete takes everything in it out of sight.
  enable_delete = false
}
