mock_provider "oci" {}

variables {
  compartment_id         = "ocid1.compartment.oc1..c"
  environment            = "prod"
  application_id         = "ocid1.fnapp.oc1..a"
  alarms                 = true
  function_id            = "ocid1.fnfunc.oc1..f"
  packages_bucket        = "cemli-prod-packages"
  deploys                = true
  devops_project_id      = "ocid1.devopsproject.oc1..p"
  failure_emails         = ["oncall@example.com"]
  failure_pagerduty_urls = ["https://events.example.com/integration/x/enqueue"]
  run_emails             = ["team@example.com"]
  tags                   = { App = "cemli-executor" }
}

run "logs" {
  assert {
    condition = { for name, log in oci_logging_log.this : name => join(" ", [for c in [log.configuration[0].source[0]] : "${c.service} ${c.category} ${c.resource}"]) } == {
      function = "functions invoke ocid1.fnapp.oc1..a"
      devops   = "devops all ocid1.devopsproject.oc1..p"
    }
    error_message = "the function's and the pipeline's log are kept"
  }
  assert {
    condition     = join(" ", [for c in oci_logging_log.uploads.configuration[0].source : "${c.service} ${c.category} ${c.resource}"]) == "objectstorage write cemli-prod-packages"
    error_message = "and that of the uploads"
  }
  assert {
    condition     = alltrue([for log in concat(values(oci_logging_log.this), [oci_logging_log.uploads]) : log.retention_duration == 90 && log.is_enabled])
    error_message = "for as long as asked"
  }
}

run "the_write_log_is_apart" {
  assert {
    condition     = alltrue([for log in oci_logging_log.this : log.log_group_id != output.uploads_log_group_id]) && oci_logging_log.uploads.log_group_id == output.uploads_log_group_id
    error_message = "who reads the write log reads no other log"
  }
  assert {
    condition     = output.write_log == "ocid1.compartment.oc1..c/${output.uploads_log_group_id}/${oci_logging_log.uploads.id}"
    error_message = "the function is told which log it is"
  }
}

run "failed_runs_are_counted" {
  assert {
    condition     = oci_sch_service_connector.count["failed_runs"].tasks[0].condition == "data.message='*\"msg\":\"run finished\"*' and data.message='*\"level\":\"ERROR\"*'"
    error_message = "the last line of runs that did not succeed"
  }
  assert {
    condition     = alltrue([for name, connector in oci_sch_service_connector.count : connector.target[0].kind == "monitoring" && connector.target[0].metric == name && connector.source[0].log_sources[0].log_id == oci_logging_log.this["function"].id])
    error_message = "each becomes a metric"
  }
  assert {
    condition     = oci_monitoring_alarm.this["failed-runs"].namespace == output.metric_namespace && oci_monitoring_alarm.this["failed-runs"].query == "failed_runs[5m]{environment = \"prod\"}.count() > 0"
    error_message = "and an alarm watches it"
  }
}

run "alarms_reach_people" {
  assert {
    condition     = alltrue([for alarm in oci_monitoring_alarm.this : alarm.destinations == tolist([output.failures_topic_id]) && alarm.is_enabled]) && length(oci_monitoring_alarm.this) == 4
    error_message = "all alarms go to the topic for failures"
  }
  assert {
    condition     = oci_monitoring_alarm.this["silence"].query == "FunctionInvocationCount[2h]{resourceId = \"ocid1.fnfunc.oc1..f\"}.groupBy(resourceId).absent(72h)"
    error_message = "silence of this function"
  }
  assert {
    condition     = oci_monitoring_alarm.this["lost-events"].namespace == "oci_cloudevents" && startswith(oci_monitoring_alarm.this["lost-events"].query, "DeliveryFailedEvents[5m]")
    error_message = "uploads that Events could not hand over"
  }
  assert {
    condition     = toset([for s in oci_ons_subscription.this : "${s.protocol} ${s.topic_id == output.failures_topic_id ? "failures" : "runs"}"]) == toset(["EMAIL failures", "PAGERDUTY failures", "EMAIL runs"])
    error_message = "subscriptions by topic"
  }
}

run "changes_are_reported" {
  assert {
    condition = alltrue([for call in [
      "UpdateBucket", "DeleteBucket", "MakeBucketReadOnly", "MakeBucketWritable",
      "CreateRetentionRule", "UpdateRetentionRule", "DeleteRetentionRule", "PutObjectLifecyclePolicy",
      "DeleteObjectLifecyclePolicy", "CreatePreauthenticatedRequest", "CreateFunction", "UpdateFunction",
      "DeleteFunction", "UpdateApp", "UpdateApplication", "DeleteApp",
      "DeleteApplication", "CreateRule", "UpdateRule", "DeleteRule",
      "CreatePolicy", "UpdatePolicy", "DeletePolicy", "CreateDynamicGroup",
      "UpdateDynamicGroup", "DeleteDynamicGroup", "AddUserToGroup", "UpdateSchedule",
      "DeleteSchedule", "DeactivateSchedule", "UpdateServiceConnector", "DeleteServiceConnector",
      "DeactivateServiceConnector", "UpdateLog", "DeleteLog"
    ] : strcontains(oci_sch_service_connector.changes.tasks[0].condition, "data.eventName='${call}'")])
    error_message = "changes of buckets, evidence, policies, functions and rules"
  }
  assert {
    condition     = oci_sch_service_connector.changes.target[0].topic_id == output.failures_topic_id && [for s in oci_sch_service_connector.changes.source[0].log_sources : s.log_group_id] == ["_Audit"]
    error_message = "from Audit, to the topic"
  }
}

run "policies_change_in_the_tenancy" {
  variables {
    tenancy_id = "ocid1.tenancy.oc1..t"
  }
  assert {
    condition     = [for s in oci_sch_service_connector.changes.source[0].log_sources : s.compartment_id] == ["ocid1.compartment.oc1..c", "ocid1.tenancy.oc1..t"]
    error_message = "Audit of both"
  }
}

run "before_there_is_a_function" {
  variables {
    alarms      = false
    function_id = null
  }
  assert {
    condition     = length(oci_monitoring_alarm.this) == 0
    error_message = "there is nothing to watch"
  }
}

run "refuses_plain_http" {
  command = plan
  variables {
    failure_urls = ["http://example.com"]
  }
  expect_failures = [var.failure_urls]
}

run "runners_are_watched_and_not_counted" {
  variables {
    tenancy_id             = "ocid1.tenancy.oc1..t"
    runners                = { default = { application_id = "ocid1.fnapp.oc1..r", function_id = "ocid1.fnfunc.oc1..r" } }
    runners_compartment_id = "ocid1.compartment.oc1..r"
    jobs_bucket            = "cemli-prod-jobs"
  }
  assert {
    condition     = oci_logging_log.runner["default"].configuration[0].source[0].resource == "ocid1.fnapp.oc1..r" && oci_logging_log.runner["default"].configuration[0].compartment_id == "ocid1.compartment.oc1..r" && oci_logging_log.runner["default"].log_group_id == output.runner_log_group_id
    error_message = "a runner's log is kept"
  }
  assert {
    condition     = output.runner_log_group_id != output.log_group_id && output.runner_log_group_id != output.uploads_log_group_id
    error_message = "in a group of its own"
  }
  assert {
    condition     = alltrue([for connector in oci_sch_service_connector.count : connector.source[0].log_sources[0].log_id == oci_logging_log.this["function"].id && length(connector.source[0].log_sources) == 1])
    error_message = "runs are counted from the executor's log only: a script can write the line of a run into the runner's"
  }
  assert {
    condition     = oci_monitoring_alarm.runner["default"].metric_compartment_id == "ocid1.compartment.oc1..r" && oci_monitoring_alarm.runner["default"].query == "FunctionResponseCount[5m]{resourceId = \"ocid1.fnfunc.oc1..r\", responseType = \"Error\"}.sum() > 0" && length(oci_monitoring_alarm.this) == 4
    error_message = "its failures have an alarm besides the executor's"
  }
  assert {
    condition     = [for s in oci_sch_service_connector.changes.source[0].log_sources : s.compartment_id] == ["ocid1.compartment.oc1..c", "ocid1.compartment.oc1..r", "ocid1.tenancy.oc1..t"]
    error_message = "changes of runners are reported"
  }
  assert {
    condition     = endswith(oci_sch_service_connector.changes.tasks[0].condition, " or (data.eventName='CreatePreauthenticatedRequest' and data.request.path!='*/b/cemli-prod-jobs/p*')")
    error_message = "pre-authenticated requests are reported, but for those of jobs"
  }
}

run "no_runner_is_watched_before_it_is_there" {
  variables {
    alarms                 = false
    function_id            = null
    runners                = { default = { application_id = "ocid1.fnapp.oc1..r", function_id = null } }
    runners_compartment_id = "ocid1.compartment.oc1..r"
  }
  assert {
    condition     = length(oci_monitoring_alarm.runner) == 0 && length(oci_logging_log.runner) == 1
    error_message = "its log comes first"
  }
}
