# Buckets with different promises. Packages and policies keep every version that was
# ever there; results are never changed or deleted while the retention rule holds, which
# versioning would exclude; state is rewritten all the time and keeps its past for a while.
# Of jobs nothing is kept: what runners wrote is copied to the results while the run goes on.

locals {
  buckets = {
    packages = { versioning = "Enabled", events = true }
    results  = { versioning = "Disabled", events = false }
    state    = { versioning = "Enabled", events = false }
    policies = { versioning = "Enabled", events = false }
  }

  # What lifecycle rules may touch. A run's result.json and junit.xml are in neither folder.
  run_files = ["runs/*/artifacts/*", "runs/*/steps/*"]
}

# OCI refuses a bucket whose key, and a lifecycle rule whose bucket, Object Storage may not
# use yet: InsufficientServicePermissions. New policies take effect after a while.
resource "terraform_data" "key_policies" {
  input            = var.key_policy_ids
  triggers_replace = var.key_policy_ids

  provisioner "local-exec" {
    command = length(var.key_policy_ids) > 0 && var.settle_seconds > 0 ? "sleep ${var.settle_seconds}" : "exit 0"
  }
}

resource "terraform_data" "lifecycle_policies" {
  input            = var.lifecycle_policy_ids
  triggers_replace = var.lifecycle_policy_ids

  provisioner "local-exec" {
    command = length(var.lifecycle_policy_ids) > 0 && var.settle_seconds > 0 ? "sleep ${var.settle_seconds}" : "exit 0"
  }
}

resource "oci_objectstorage_bucket" "this" {
  for_each = local.buckets

  compartment_id        = var.compartment_id
  namespace             = var.namespace
  name                  = "cemli-${var.environment}-${each.key}"
  access_type           = "NoPublicAccess"
  versioning            = each.value.versioning
  object_events_enabled = each.value.events
  kms_key_id            = var.kms_key_id
  freeform_tags         = var.tags
  defined_tags          = var.defined_tags

  dynamic "retention_rules" {
    for_each = each.key == "results" ? [var.results_retention_days] : []
    content {
      display_name = "evidence"
      # Locked for good from this time on, which is at least 14 days ahead when it is set.
      time_rule_locked = var.results_locked_from

      duration {
        time_amount = tostring(retention_rules.value)
        time_unit   = "DAYS"
      }
    }
  }

  depends_on = [terraform_data.key_policies]
}

# There wherever steps run, since what is in it outlasts a change of that.
resource "oci_objectstorage_bucket" "jobs" {
  compartment_id        = var.compartment_id
  namespace             = var.namespace
  name                  = var.jobs_bucket_name == "" ? "cemli-${var.environment}-jobs" : var.jobs_bucket_name
  access_type           = "NoPublicAccess"
  versioning            = "Disabled"
  object_events_enabled = false
  kms_key_id            = var.kms_key_id
  freeform_tags         = var.tags
  defined_tags          = var.defined_tags

  depends_on = [terraform_data.key_policies]

  lifecycle {
    precondition {
      condition     = !contains([for name in keys(local.buckets) : "cemli-${var.environment}-${name}"], lower(var.jobs_bucket_name))
      error_message = "Jobs have a bucket of their own: runners write to it, and it is emptied after a week."
    }
  }
}

resource "oci_objectstorage_object_lifecycle_policy" "jobs" {
  namespace = var.namespace
  bucket    = oci_objectstorage_bucket.jobs.name

  rules {
    name        = "jobs"
    action      = "DELETE"
    target      = "objects"
    is_enabled  = true
    time_amount = "7" # a job ends within the hour; what is left tells how, if it has to be looked at
    time_unit   = "DAYS"
  }

  # Uploads in parts that were never completed are no objects.
  rules {
    name        = "parts"
    action      = "ABORT"
    target      = "multipart-uploads"
    is_enabled  = true
    time_amount = "1"
    time_unit   = "DAYS"
  }

  depends_on = [terraform_data.lifecycle_policies]
}

resource "oci_objectstorage_object_lifecycle_policy" "results" {
  count = var.run_files_archive_days + var.run_files_delete_days > 0 ? 1 : 0

  namespace = var.namespace
  bucket    = oci_objectstorage_bucket.this["results"].name

  dynamic "rules" {
    for_each = { for action, days in { ARCHIVE = var.run_files_archive_days, DELETE = var.run_files_delete_days } : action => days if days > 0 }
    content {
      name        = "run-files-${lower(rules.key)}"
      action      = rules.key
      target      = "objects"
      is_enabled  = true
      time_amount = tostring(rules.value)
      time_unit   = "DAYS"

      object_name_filter {
        inclusion_patterns = local.run_files
        # Said twice, since what is deleted here cannot be made again.
        exclusion_patterns = ["runs/*/result.json"]
      }
    }
  }

  depends_on = [terraform_data.lifecycle_policies]

  lifecycle {
    precondition {
      condition     = var.run_files_delete_days == 0 || var.run_files_delete_days > var.results_retention_days
      error_message = "run_files_delete_days must be more than results_retention_days: the retention rule would refuse the deletion."
    }
    precondition {
      condition     = var.run_files_delete_days == 0 || var.run_files_archive_days < var.run_files_delete_days
      error_message = "run_files_archive_days must be less than run_files_delete_days."
    }
  }
}

resource "oci_objectstorage_object_lifecycle_policy" "state" {
  namespace = var.namespace
  bucket    = oci_objectstorage_bucket.this["state"].name

  rules {
    name        = "earlier-versions"
    action      = "DELETE"
    target      = "previous-object-versions"
    is_enabled  = true
    time_amount = tostring(var.state_versions_days)
    time_unit   = "DAYS"
  }

  depends_on = [terraform_data.lifecycle_policies]
}
