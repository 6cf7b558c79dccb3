locals {
  # Cron of OCI's Resource Scheduler: minute, hour, day of month, month, day of week, in UTC.
  # It knows no period under an hour, so that a sweep each quarter of an hour is four
  # schedules. It invokes detached and may start late.
  sweep = var.sweep_minutes == 0 ? {} : {
    for minute in range(0, 60, var.sweep_minutes) : format("sweep-%02d", minute) => {
      cron = "${minute} * * * *"
      body = { action = "sweep" }
    }
  }

  # once_per makes a second start in the same slot the same run.
  packages = { for name, package in var.packages : "package-${name}" => {
    cron = package.cron
    body = { for key, value in {
      object        = package.object
      once_per      = package.once_per
      parameter_set = package.parameter_set
      parameters    = package.parameters
      reason        = package.reason
    } : key => value if value != null }
  } }

  schedules = merge(
    { for name, schedule in local.sweep : name => { cron = schedule.cron, body = jsonencode(schedule.body) } },
    { for name, schedule in local.packages : name => { cron = schedule.cron, body = jsonencode(schedule.body) } },
  )
}

moved {
  from = oci_resource_scheduler_schedule.this["sweep"]
  to   = oci_resource_scheduler_schedule.this["sweep-00"]
}

resource "oci_resource_scheduler_schedule" "this" {
  for_each = var.create ? local.schedules : {}

  compartment_id     = var.compartment_id
  display_name       = "cemli-${var.environment}-${each.key}"
  action             = "START_RESOURCE"
  recurrence_type    = "CRON"
  recurrence_details = each.value.cron
  state              = var.enabled ? "ACTIVE" : "INACTIVE"
  freeform_tags      = var.tags
  defined_tags       = var.defined_tags

  resources {
    id = var.function_id

    parameters {
      parameter_type = "BODY"
      value          = [each.value.body]
    }
  }
}
