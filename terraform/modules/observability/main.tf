# Logs, what is counted from them, and who hears of it.

locals {
  prefix           = "cemli-${var.environment}"
  metric_namespace = "cemli_executor"

  # The function's last line of each run is JSON with msg "run finished", at level ERROR
  # unless the run succeeded or was skipped. A script's output is in the same log as text
  # inside JSON, where its quotes are escaped: it cannot look like this.
  finished = "data.message='*\"msg\":\"run finished\"*'"
  counted = {
    runs        = local.finished
    failed_runs = "${local.finished} and data.message='*\"level\":\"ERROR\"*'"
  }

  # Calls that change what is deployed, by the names that Audit gives them.
  watched = [
    "UpdateBucket", "DeleteBucket", "MakeBucketReadOnly", "MakeBucketWritable",
    "CreateRetentionRule", "UpdateRetentionRule", "DeleteRetentionRule",
    "PutObjectLifecyclePolicy", "DeleteObjectLifecyclePolicy",
    "CreateFunction", "UpdateFunction", "DeleteFunction", "UpdateApp", "UpdateApplication", "DeleteApp", "DeleteApplication",
    "CreateRule", "UpdateRule", "DeleteRule",
    "CreatePolicy", "UpdatePolicy", "DeletePolicy",
    "CreateDynamicGroup", "UpdateDynamicGroup", "DeleteDynamicGroup", "AddUserToGroup",
    "UpdateSchedule", "DeleteSchedule", "DeactivateSchedule",
    "UpdateServiceConnector", "DeleteServiceConnector", "DeactivateServiceConnector", "UpdateLog", "DeleteLog",
  ]

  # The executor makes one for each job, and none elsewhere.
  opened = join(" and ", concat(
    ["data.eventName='CreatePreauthenticatedRequest'"],
    var.jobs_bucket == null ? [] : ["data.request.path!='*/b/${var.jobs_bucket}/p*'"],
  ))

  subscriptions = merge(
    { for address in var.run_emails : "runs email ${address}" => { topic = "runs", protocol = "EMAIL", endpoint = address } },
    { for address in var.failure_emails : "failures email ${address}" => { topic = "failures", protocol = "EMAIL", endpoint = address } },
    { for url in var.failure_urls : "failures https ${sha256(url)}" => { topic = "failures", protocol = "CUSTOM_HTTPS", endpoint = url } },
    # By number, since their text may not become a resource's name.
    { for i in range(nonsensitive(length(var.failure_pagerduty_urls))) : "failures pagerduty ${i}" => { topic = "failures", protocol = "PAGERDUTY", endpoint = var.failure_pagerduty_urls[i] } },
  )

  alarms = var.function_id == null ? {} : {
    failed-runs = {
      namespace = local.metric_namespace
      query     = "failed_runs[5m]{environment = \"${var.environment}\"}.count() > 0"
      severity  = "CRITICAL"
      body      = "A run did not succeed. The results bucket has its result.json, newest last under runs/."
    }
    failed-invocations = {
      namespace = "oci_faas"
      query     = "FunctionResponseCount[5m]{resourceId = \"${var.function_id}\", responseType = \"Error\"}.sum() > 0"
      severity  = "CRITICAL"
      body      = "An invocation failed: evidence could not be stored, the store failed, or the function was killed. Its log says which."
    }
    # absent() is 1 as long as there was nothing in the whole interval, and stops after as
    # long as its argument says, at most 72 hours: so the interval is what silence may last.
    # Grouped, because each combination of dimensions is else a stream that is silent by itself.
    silence = {
      namespace = "oci_faas"
      query     = "FunctionInvocationCount[${var.silence_hours}h]{resourceId = \"${var.function_id}\"}.groupBy(resourceId).absent(72h)"
      severity  = "WARNING"
      body      = "The function was not invoked, not even by the sweep: see the schedules, the rule and the policies. After three days this alarm ends by itself, and the silence may not have."
    }
    # Of the rules in this compartment, of which there is one.
    lost-events = {
      namespace = "oci_cloudevents"
      query     = "DeliveryFailedEvents[5m].grouping().sum() > 0"
      severity  = "CRITICAL"
      body      = "Events could not hand an upload to the function: see the policies, and whether the function is throttled. The sweep finds the upload later."
    }
  }
}

resource "oci_ons_notification_topic" "this" {
  for_each = { runs = "Finished runs", failures = "Failures, alarms, deployments, and changes to what is deployed" }

  compartment_id = var.compartment_id
  name           = "${local.prefix}-${each.key}"
  description    = each.value
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_ons_subscription" "this" {
  for_each = local.subscriptions

  compartment_id = var.compartment_id
  topic_id       = oci_ons_notification_topic.this[each.value.topic].id
  protocol       = each.value.protocol
  endpoint       = each.value.endpoint
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_logging_log_group" "this" {
  compartment_id = var.compartment_id
  display_name   = local.prefix
  description    = "cemli-executor, ${var.environment}"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

# Apart, because who may read logs is said by log group: who looks for uploaders does not
# read what scripts print.
resource "oci_logging_log_group" "uploads" {
  compartment_id = var.compartment_id
  display_name   = "${local.prefix}-uploads"
  description    = "cemli-executor, ${var.environment}: who wrote what to the packages bucket"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

locals {
  logs = merge(
    {
      function = { service = "functions", category = "invoke", resource = var.application_id }
    },
    var.deploys ? { devops = { service = "devops", category = "all", resource = var.devops_project_id } } : {},
  )
}

resource "oci_logging_log" "this" {
  for_each = local.logs

  log_group_id       = oci_logging_log_group.this.id
  display_name       = "${local.prefix}-${each.key}"
  log_type           = "SERVICE"
  is_enabled         = true
  retention_duration = var.log_retention_days
  freeform_tags      = var.tags
  defined_tags       = var.defined_tags

  configuration {
    compartment_id = var.compartment_id

    source {
      source_type = "OCISERVICE"
      service     = each.value.service
      category    = each.value.category
      resource    = each.value.resource
    }
  }
}

# Apart from the function's, which is what runs are counted from: a script can write anything
# into the log of the runner that it is in.
resource "oci_logging_log_group" "runners" {
  count = length(var.runners) > 0 ? 1 : 0

  compartment_id = var.compartment_id
  display_name   = "${local.prefix}-runners"
  description    = "cemli-executor, ${var.environment}: what runners log"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_logging_log" "runner" {
  for_each = var.runners

  log_group_id       = oci_logging_log_group.runners[0].id
  display_name       = "${local.prefix}-runner-${each.key}"
  log_type           = "SERVICE"
  is_enabled         = true
  retention_duration = var.log_retention_days
  freeform_tags      = var.tags
  defined_tags       = var.defined_tags

  configuration {
    compartment_id = var.runners_compartment_id

    source {
      source_type = "OCISERVICE"
      service     = "functions"
      category    = "invoke"
      resource    = each.value.application_id
    }
  }
}

locals {
  # A list of one, since the compartment may be made in the same apply.
  runners_compartment = length(var.runners) > 0 ? [var.runners_compartment_id] : []
}

# Names who uploaded what: events do not. Apart from the other logs, because the function's configuration names
# it, and they wait for the function's application.
resource "oci_logging_log" "uploads" {
  log_group_id       = oci_logging_log_group.uploads.id
  display_name       = "${local.prefix}-uploads"
  log_type           = "SERVICE"
  is_enabled         = true
  retention_duration = var.log_retention_days
  freeform_tags      = var.tags
  defined_tags       = var.defined_tags

  configuration {
    compartment_id = var.compartment_id

    source {
      source_type = "OCISERVICE"
      service     = "objectstorage"
      category    = "write"
      resource    = var.packages_bucket
    }
  }
}

moved {
  from = oci_logging_log.this["uploads"]
  to   = oci_logging_log.uploads
}

resource "oci_sch_service_connector" "count" {
  for_each = local.counted

  compartment_id = var.compartment_id
  display_name   = "${local.prefix}-${replace(each.key, "_", "-")}"
  description    = "Counts lines of the function's log as the metric ${each.key}"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  source {
    kind = "logging"

    log_sources {
      compartment_id = var.compartment_id
      log_group_id   = oci_logging_log_group.this.id
      log_id         = oci_logging_log.this["function"].id
    }
  }

  tasks {
    kind      = "logRule"
    condition = each.value
  }

  target {
    kind             = "monitoring"
    compartment_id   = var.compartment_id
    metric_namespace = local.metric_namespace
    metric           = each.key

    dimensions {
      name = "environment"

      dimension_value {
        kind  = "static"
        value = var.environment
      }
    }
  }
}

# From Audit, which has every call, and not from Events, to which not every service tells
# of changes to retention rules and to rules.
resource "oci_sch_service_connector" "changes" {
  compartment_id = var.compartment_id
  display_name   = "${local.prefix}-changes"
  description    = "Reports changes to buckets, policies, functions and rules"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  source {
    kind = "logging"

    dynamic "log_sources" {
      # Policies are in the tenancy, and Audit has them in its home region only.
      for_each = concat([var.compartment_id], local.runners_compartment, var.tenancy_id == null ? [] : [var.tenancy_id])
      content {
        compartment_id = log_sources.value
        log_group_id   = "_Audit"
      }
    }
  }

  tasks {
    kind      = "logRule"
    condition = join(" or ", concat([for name in local.watched : "data.eventName='${name}'"], ["(${local.opened})"]))
  }

  target {
    kind                       = "notifications"
    topic_id                   = oci_ons_notification_topic.this["failures"].id
    enable_formatted_messaging = true
  }
}

resource "oci_monitoring_alarm" "this" {
  for_each = var.alarms ? toset(concat(["failed-runs", "failed-invocations", "lost-events"], var.silence_hours > 0 ? ["silence"] : [])) : toset([])

  compartment_id        = var.compartment_id
  metric_compartment_id = var.compartment_id
  display_name          = "${local.prefix}-${each.key}"
  namespace             = local.alarms[each.key].namespace
  query                 = local.alarms[each.key].query
  severity              = local.alarms[each.key].severity
  body                  = local.alarms[each.key].body
  destinations          = [oci_ons_notification_topic.this["failures"].id]
  is_enabled            = true
  pending_duration      = "PT1M"
  message_format        = "ONS_OPTIMIZED"
  # Once is easily overlooked.
  repeat_notification_duration = each.key == "silence" ? "PT24H" : null
  freeform_tags                = var.tags
  defined_tags                 = var.defined_tags
}

# What came of the run is the executor's to say, and counted there; this is the runner's health.
resource "oci_monitoring_alarm" "runner" {
  for_each = var.alarms ? var.runners : {}

  compartment_id        = var.compartment_id
  metric_compartment_id = var.runners_compartment_id
  display_name          = "${local.prefix}-runner-${each.key}"
  namespace             = "oci_faas"
  query                 = "FunctionResponseCount[5m]{resourceId = \"${each.value.function_id}\", responseType = \"Error\"}.sum() > 0"
  severity              = "WARNING"
  body                  = "A call of the runner ${each.key} failed, or the platform ended it. The executor goes on with the run and says in its result what came of it; the log of the runner may say why, in the words of whatever ran there."
  destinations          = [oci_ons_notification_topic.this["failures"].id]
  is_enabled            = true
  pending_duration      = "PT1M"
  message_format        = "ONS_OPTIMIZED"
  freeform_tags         = var.tags
  defined_tags          = var.defined_tags
}
