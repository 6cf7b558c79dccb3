locals {
  # Every variable that the function knows, by name. What is null or empty is left out, so
  # that its default holds: the function refuses values that it cannot have.
  settings = {
    CEMLI_PACKAGES_BUCKET      = var.packages_bucket
    RESULTS_BUCKET             = var.results_bucket
    CEMLI_STATE_BUCKET         = var.state_bucket
    CEMLI_ENVIRONMENT          = var.environment
    CEMLI_POLICY               = var.policy
    CEMLI_SANDBOX              = var.apart ? null : var.accept_readable_credentials == true ? "basic" : "isolated"
    CEMLI_RUNNER               = var.runner
    CEMLI_JOBS_BUCKET          = var.apart ? var.jobs_bucket : null
    CEMLI_VAULT                = var.vault_id
    CEMLI_TOPIC                = var.topic_id
    CEMLI_NOTIFY               = var.notify
    CEMLI_LOG_LEVEL            = var.log_level
    CEMLI_LOG_OUTPUT           = var.log_output
    CEMLI_KEEP_PACKAGES        = var.keep_packages == false ? "false" : null
    CEMLI_TRUST_SUBJECT        = var.trust_subject ? "true" : null
    CEMLI_WRITE_LOG            = var.write_log
    CEMLI_RESERVE              = var.reserve
    CEMLI_LIMIT_PACKAGE_BYTES  = var.limits.package_bytes
    CEMLI_LIMIT_ENTRIES        = var.limits.entries
    CEMLI_LIMIT_FILE_BYTES     = var.limits.file_bytes
    CEMLI_LIMIT_TOTAL_BYTES    = var.limits.total_bytes
    CEMLI_LIMIT_RATIO          = var.limits.ratio
    CEMLI_LIMIT_LOG_BYTES      = var.limits.log_bytes
    CEMLI_LIMIT_ARTIFACTS      = var.limits.artifacts
    CEMLI_LIMIT_ARTIFACT_BYTES = var.limits.artifact_bytes
    CEMLI_LIMIT_RUN_TIME       = var.limits.run_time
    CEMLI_LIMIT_ATTEMPTS       = var.limits.attempts
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

resource "oci_functions_application" "this" {
  compartment_id             = var.compartment_id
  display_name               = "cemli-${var.environment}"
  subnet_ids                 = var.subnet_ids
  network_security_group_ids = var.network_security_group_ids
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags

  # Here and not with the function, so that what the second apply needs is refused in the
  # first.
  lifecycle {
    precondition {
      condition     = sum([for name, value in local.config : length(name) + length(value)]) <= 4096
      error_message = "The function's configuration is over the 4 KB that OCI allows; put an inline policy into the policies bucket."
    }
    precondition {
      condition     = var.apart || var.accept_readable_credentials != null
      error_message = "Scripts run in the function itself, where its credentials are: say with accept_readable_credentials whether they may where they can read them. In a runner they cannot."
    }
    precondition {
      condition     = var.environment != "prod" || var.policy != ""
      error_message = "prod needs an admission policy."
    }
  }
}

resource "oci_functions_function" "this" {
  count = var.create ? 1 : 0

  application_id                   = oci_functions_application.this.id
  display_name                     = "cemli-executor"
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

  # Of detached invocations: a caller that does not wait hears of them here.
  dynamic "success_destination" {
    for_each = var.notify_detached_success ? [var.topic_id] : []
    content {
      kind     = "NOTIFICATION"
      topic_id = success_destination.value
    }
  }

  failure_destination {
    kind     = "NOTIFICATION"
    topic_id = var.failure_topic_id
  }

  depends_on = [terraform_data.image_policies]

  lifecycle {
    # Terraform sets the first image. Later ones come from the deployment pipeline, and an
    # apply must not take them back; nor does one without any image, as the function then
    # keeps the one that it has.
    ignore_changes = [image, image_digest]

    postcondition {
      condition     = self.image != null && self.image != ""
      error_message = "There is no image to create the function with. As long as there is none, apply with create_function=false; build, and then apply with create_function=true, function_image and function_image_digest. Later applies need no image."
    }
  }
}
