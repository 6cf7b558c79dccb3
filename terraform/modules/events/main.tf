# The conditions are files of their own because the local OCI applies the same ones.
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

# What starts packages besides uploads. Which ones, the policy's triggers say: an event that they
# do not name is ignored.
resource "oci_events_rule" "trigger" {
  for_each = var.triggers

  # A rule sees the events of its own compartment and those below.
  compartment_id = coalesce(each.value.compartment_ocid, var.compartment_id)
  display_name   = "cemli-${var.environment}-trigger-${each.key}"
  description    = "Events that the policy's triggers may name"
  is_enabled     = var.enabled
  condition = templatefile("${path.module}/trigger.json", {
    event_type = each.value.event_type
    attribute  = startswith(each.value.resource, "ocid1.") ? "resourceId" : "resourceName"
    resource   = each.value.resource
  })
  freeform_tags = var.tags
  defined_tags  = var.defined_tags

  actions {
    action {
      action_type = "FAAS"
      is_enabled  = true
      function_id = var.function_id
    }
  }
}
