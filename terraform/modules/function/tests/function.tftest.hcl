mock_provider "oci" {}

variables {
  compartment_id             = "ocid1.compartment.oc1..c"
  environment                = "dev"
  subnet_ids                 = ["ocid1.subnet.oc1..s"]
  network_security_group_ids = ["ocid1.networksecuritygroup.oc1..n"]
  image                      = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"
  packages_bucket            = "cemli-dev-packages"
  results_bucket             = "cemli-dev-results"
  state_bucket               = "cemli-dev-state"
  topic_id                   = "ocid1.onstopic.oc1..all"
  failure_topic_id           = "ocid1.onstopic.oc1..failures"
  tags                       = { App = "cemli-executor" }

  apart                       = false
  accept_readable_credentials = false
}

run "only_what_is_set_is_configured" {
  assert {
    condition = output.config == tomap({
      CEMLI_PACKAGES_BUCKET = "cemli-dev-packages"
      RESULTS_BUCKET        = "cemli-dev-results"
      CEMLI_STATE_BUCKET    = "cemli-dev-state"
      CEMLI_ENVIRONMENT     = "dev"
      CEMLI_SANDBOX         = "isolated"
      CEMLI_TOPIC           = "ocid1.onstopic.oc1..all"
    })
    error_message = "empty settings are left out, so that the function's defaults hold"
  }
  assert {
    condition     = oci_functions_function.this[0].config == output.config
    error_message = "the function has that configuration"
  }
}

run "limits_and_destinations" {
  variables {
    limits                  = { entries = 500, run_time = "30m" }
    policy                  = "cemli-dev-policies/dev.json"
    notify_detached_success = true
    provisioned_concurrency = 10
  }
  assert {
    condition     = output.config["CEMLI_LIMIT_ENTRIES"] == "500" && output.config["CEMLI_LIMIT_RUN_TIME"] == "30m" && output.config["CEMLI_POLICY"] == "cemli-dev-policies/dev.json"
    error_message = "limits and policy are configured as text"
  }
  assert {
    condition     = oci_functions_function.this[0].failure_destination[0].topic_id == "ocid1.onstopic.oc1..failures" && oci_functions_function.this[0].failure_destination[0].kind == "NOTIFICATION"
    error_message = "failed detached invocations are reported"
  }
  assert {
    condition     = oci_functions_function.this[0].success_destination[0].topic_id == "ocid1.onstopic.oc1..all"
    error_message = "detached successes are reported when asked for"
  }
  assert {
    condition     = oci_functions_function.this[0].provisioned_concurrency_config[0].count == 10
    error_message = "instances are kept warm"
  }
}

run "callers_are_verified_only_where_that_is_said" {
  variables {
    trust_subject = true
  }
  assert {
    condition     = output.config["CEMLI_TRUST_SUBJECT"] == "true"
    error_message = "the function is told that the platform's headers can be trusted"
  }
}

run "uploaders_are_looked_for_where_that_is_said" {
  variables {
    write_log = "ocid1.compartment.oc1..c/ocid1.loggroup.oc1..g/ocid1.log.oc1..l"
  }
  assert {
    condition     = output.config["CEMLI_WRITE_LOG"] == var.write_log && !contains(keys(run.callers_are_verified_only_where_that_is_said.config), "CEMLI_WRITE_LOG")
    error_message = "the function is told of the write log"
  }
}

run "keeps_the_function_without_an_image" {
  variables {
    image = ""
  }
  assert {
    condition     = output.function_id == run.callers_are_verified_only_where_that_is_said.function_id && oci_functions_function.this[0].image == "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"
    error_message = "the function that is there stays, with the image that it has"
  }
}

run "the_application_comes_first" {
  variables {
    create = false
    image  = ""
  }
  assert {
    condition     = length(oci_functions_function.this) == 0 && output.function_id == null
    error_message = "the application comes first, for the log and the pipeline"
  }
}

run "refuses_a_function_without_an_image" {
  command = plan
  variables {
    image = ""
  }
  expect_failures = [oci_functions_function.this]
}

run "refuses_in_the_first_apply_what_the_second_needs" {
  command = plan
  variables {
    create      = false
    image       = ""
    environment = "prod"
  }
  expect_failures = [oci_functions_application.this]
}

run "refuses_over_4_kb" {
  command = plan
  variables {
    policy = join("", [for i in range(400) : "0123456789"])
  }
  expect_failures = [oci_functions_application.this]
}

run "refuses_a_digest_as_tag" {
  command = plan
  variables {
    image = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
  expect_failures = [var.image]
}

run "refuses_memory_that_oci_does_not_have" {
  command = plan
  variables {
    memory_mb = 4096
  }
  expect_failures = [var.memory_mb]
}

run "refuses_to_wait_longer_than_oci" {
  command = plan
  variables {
    timeout_seconds = 301
  }
  expect_failures = [var.timeout_seconds]
}

run "refuses_a_level_that_alarms_cannot_count" {
  command = plan
  variables {
    log_level = "error"
  }
  expect_failures = [var.log_level]
}

run "refuses_prod_without_a_policy" {
  command = plan
  variables {
    environment = "prod"
  }
  expect_failures = [oci_functions_application.this]
}

run "accepts_readable_credentials_where_that_is_said" {
  variables {
    environment                 = "prod"
    policy                      = "cemli-prod-policies/prod.json"
    accept_readable_credentials = true
  }
  assert {
    condition     = output.config["CEMLI_SANDBOX"] == "basic"
    error_message = "scripts run on a kernel without Landlock too, in prod as well"
  }
}

run "scripts_run_apart" {
  variables {
    apart                       = true
    runner                      = "default=function:ocid1.fnfunc.oc1..r,finance=function:ocid1.fnfunc.oc1..f"
    jobs_bucket                 = "cemli-dev-jobs"
    accept_readable_credentials = null
  }
  assert {
    condition     = output.config["CEMLI_RUNNER"] == var.runner && output.config["CEMLI_JOBS_BUCKET"] == "cemli-dev-jobs"
    error_message = "the function knows its runners and their bucket"
  }
  assert {
    condition     = !contains(keys(output.config), "CEMLI_SANDBOX") && !contains(keys(output.config), "CEMLI_ROLE")
    error_message = "what may be read there is nobody's decision, and it is the executor"
  }
}

run "here_knows_no_jobs" {
  variables {
    jobs_bucket = "cemli-dev-jobs"
  }
  assert {
    condition     = !contains(keys(output.config), "CEMLI_JOBS_BUCKET") && !contains(keys(output.config), "CEMLI_RUNNER") && output.config["CEMLI_SANDBOX"] == "isolated"
    error_message = "without a runner there are no jobs"
  }
}

run "refuses_scripts_here_without_a_decision" {
  command = plan
  variables {
    accept_readable_credentials = null
  }
  expect_failures = [oci_functions_application.this]
}

run "refuses_a_runner_without_a_label" {
  command = plan
  variables {
    apart  = true
    runner = "function:ocid1.fnfunc.oc1..r"
  }
  expect_failures = [var.runner]
}
