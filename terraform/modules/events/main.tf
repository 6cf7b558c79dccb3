# The condition is a file of its own because the local OCI applies the same one.
resource "oci_events_rule" "packages" {
  compartment_id = var.compartment_id
  display_name   = "cemli-${var.environment}-packages"
  description    = "Uploads to the packages bucket run"
  is_enabled     = var.enabled
  condition      = templatefile("${path.module}/condition.json", { packages_bucket = var.packages_bucket })
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  actions {
    action {
      action_type = "FAAS"
      is_enabled  = true
      function_id = var.function_id
    }
  }
}
