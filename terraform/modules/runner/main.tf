# A function that executes what packages bring and is granted nothing. It has the executor's
# image and none of its configuration: no bucket, no environment, no policy, no topic. What
# it opens is bounded as in the executor, which would send it packages that it refuses.

locals {
  settings = {
    CEMLI_ROLE                = "runner"
    CEMLI_SANDBOX             = var.sandbox
    CEMLI_LOG_OUTPUT          = var.log_output
    CEMLI_LIMIT_PACKAGE_BYTES = var.limits.package_bytes
    CEMLI_LIMIT_ENTRIES       = var.limits.entries
    CEMLI_LIMIT_FILE_BYTES    = var.limits.file_bytes
    CEMLI_LIMIT_TOTAL_BYTES   = var.limits.total_bytes
    CEMLI_LIMIT_RATIO         = var.limits.ratio
  }
  config = tomap({ for name, value in local.settings : name => tostring(value) if value != null && value != "" })
}

# OCI refuses a function whose image it may not read yet.
resource "terraform_data" "image_policies" {
  input            = var.image_policy_ids
  triggers_replace = var.image_policy_ids

  provisioner "local-exec" {
    command = length(var.image_policy_ids) > 0 && var.settle_seconds > 0 ? "sleep ${var.settle_seconds}" : "exit 0"
  }
}

# One for each runner, as the subnet is the application's.
resource "oci_functions_application" "this" {
  compartment_id             = var.compartment_id
  display_name               = "cemli-${var.environment}-runner-${var.label}"
  subnet_ids                 = var.subnet_ids
  network_security_group_ids = var.network_security_group_ids
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags
}

# It has no destinations: it may publish nothing, and whoever called it hears from it.
resource "oci_functions_function" "this" {
  count = var.create ? 1 : 0

  application_id                   = oci_functions_application.this.id
  display_name                     = "cemli-runner"
  image                            = var.image
  image_digest                     = var.image_digest
  memory_in_mbs                    = tostring(var.memory_mb)
  timeout_in_seconds               = var.timeout_seconds
  detached_mode_timeout_in_seconds = var.detached_timeout_seconds
  config                           = local.config
  freeform_tags                    = var.tags
  defined_tags                     = var.defined_tags

  dynamic "provisioned_concurrency_config" {
    for_each = var.provisioned_concurrency > 0 ? [var.provisioned_concurrency] : []
    content {
      strategy = "CONSTANT"
      count    = provisioned_concurrency_config.value
    }
  }

  depends_on = [terraform_data.image_policies]

  lifecycle {
    # As of the executor: later images come from the deployment pipeline.
    ignore_changes = [image, image_digest]

    postcondition {
      condition     = self.image != null && self.image != ""
      error_message = "There is no image to create the runner with: name function_image and function_image_digest, those that the executor has if there is one. Without any, apply with create_function=false. Later applies need no image."
    }
  }
}
