# Where scripts run.

mock_provider "oci" {
  mock_data "oci_core_services" {
    defaults = {
      services = [{
        id          = "ocid1.service.oc1..all"
        cidr_block  = "all-services-in-oracle-services-network"
        name        = "All Services In Oracle Services Network"
        description = ""
      }]
    }
  }
  mock_data "oci_objectstorage_namespace" {
    defaults = { namespace = "ns" }
  }
}

mock_provider "oci" {
  alias = "home"

  mock_data "oci_identity_compartment" {
    defaults = { compartment_id = "ocid1.compartment.oc1..parent" }
  }
}

variables {
  settle_seconds   = 0
  tenancy_ocid     = "ocid1.tenancy.oc1..t"
  compartment_ocid = "ocid1.compartment.oc1..c"
  region           = "eu-frankfurt-1"
  owner            = "platform"
  cost_center      = "1000"
  approvers_group  = "cemli-approvers"
  promotion_group  = "cemli-promotion"
  function_image   = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"

  environment            = "qa"
  results_retention_days = 7
}

run "scripts_run_apart" {
  assert {
    condition     = output.runners == "default=function:${output.runner_ids["default"]}" && output.function_config["CEMLI_RUNNER"] == output.runners && output.function_config["CEMLI_JOBS_BUCKET"] == output.buckets.jobs
    error_message = "there is a runner unless that is said, and the executor knows it"
  }
  assert {
    condition     = !contains(keys(output.function_config), "CEMLI_SANDBOX") && module.runner["default"].config == tomap({ CEMLI_ROLE = "runner" })
    error_message = "nobody decides what scripts may read, and a runner has nothing of the executor's configuration"
  }
  assert {
    condition     = output.runners_compartment_id == module.runners_compartment[0].id && output.runners_compartment_id != output.compartment_id
    error_message = "runners are in a compartment of their own"
  }
  assert {
    condition     = strcontains(join(";", values(module.iam.dynamic_groups)), "resource.compartment.id='${output.compartment_id}'") && !strcontains(join(";", values(module.iam.dynamic_groups)), output.runners_compartment_id)
    error_message = "and in no dynamic group"
  }
  assert {
    condition     = [for s in flatten(values(output.iam_statements)) : split(" ", s)[2] if strcontains(s, output.runner_ids["default"]) && strcontains(s, "fn-invocation")] == ["cemli-qa-function"]
    error_message = "the executor alone invokes the runner"
  }
  assert {
    condition     = length([for s in flatten(values(output.iam_statements)) : s if strcontains(s, "'${output.buckets.jobs}'")]) == 3
    error_message = "it has the bucket of jobs, which is emptied"
  }
}

run "several_runners" {
  variables {
    default_runner           = "general"
    runners_compartment_ocid = "ocid1.compartment.oc1..runners"
    nat_gateway              = true
    egress                   = [{ cidr = "198.51.100.7/32", port = 443, description = "the ERP" }]
    runners = {
      finance = { cidr = "10.0.2.0/24", memory_mb = 1024, egress = [{ cidr = "198.51.100.7/32", port = 1521, description = "its database" }] }
      general = {}
    }
    limits = { entries = 20000, run_time = "30m" }
  }
  assert {
    condition     = module.runner["general"].config == tomap({ CEMLI_ROLE = "runner", CEMLI_LIMIT_ENTRIES = "20000" }) && output.function_config["CEMLI_LIMIT_ENTRIES"] == "20000"
    error_message = "what the executor may send the runner takes"
  }
  assert {
    condition     = output.runners == "general=function:${output.runner_ids["general"]},finance=function:${output.runner_ids["finance"]}"
    error_message = "the default comes first"
  }
  assert {
    condition     = length(module.runners_compartment) == 0 && output.runners_compartment_id == "ocid1.compartment.oc1..runners"
    error_message = "in the compartment that is given"
  }
  assert {
    condition     = module.runner["general"].application_id != module.runner["finance"].application_id && length(module.network[0].runner_subnet_ids) == 2
    error_message = "each has an application and a subnet of its own"
  }
  assert {
    condition     = module.network[0].egress == [] && module.network[0].runner_egress == { finance = ["198.51.100.7/32:1521"], general = ["198.51.100.7/32:443"] }
    error_message = "the executor reaches Oracle's services only, and a runner what is its own, or else the environment's"
  }
  assert {
    condition     = length([for s in output.iam_statements.function : s if strcontains(s, "fn-invocation in compartment id ocid1.compartment.oc1..runners")]) == 2
    error_message = "the executor invokes both"
  }
}

run "scripts_run_here" {
  variables {
    apart                       = false
    accept_readable_credentials = true
  }
  assert {
    condition     = output.runners == "here" && output.function_config["CEMLI_SANDBOX"] == "basic" && !contains(keys(output.function_config), "CEMLI_JOBS_BUCKET")
    error_message = "in the function, with the decision"
  }
  assert {
    condition     = length(module.runner) == 0 && length(module.runners_compartment) == 0 && output.deploy_stages == ["DEPLOY_FUNCTION", "INVOKE_FUNCTION"] && output.runner_log_group_id == null
    error_message = "and nothing of runners is there"
  }
  assert {
    condition     = [for s in flatten(values(output.iam_statements)) : split(" ", s)[1] if strcontains(s, "'${output.buckets.jobs}'")] == ["service"]
    error_message = "nobody has the bucket of jobs, which is still emptied"
  }
}

run "no_runner_is_none" {
  variables {
    runners                     = {}
    accept_readable_credentials = false
  }
  assert {
    condition     = output.runners == "here" && output.function_config["CEMLI_SANDBOX"] == "isolated"
    error_message = "in the function"
  }
}

run "refuses_a_default_that_is_not_there" {
  command = plan
  variables {
    default_runner = "finance"
  }
  expect_failures = [terraform_data.workspace]
}

run "refuses_a_runner_in_the_executors_subnet" {
  command = plan
  variables {
    subnet_ocids = ["ocid1.subnet.oc1..s"]
    runners      = { default = { subnet_ocids = ["ocid1.subnet.oc1..s"] } }
  }
  expect_failures = [terraform_data.workspace]
}

run "refuses_a_runner_without_enough_time" {
  command = plan
  variables {
    runners = { default = { detached_timeout_seconds = 1800 } }
  }
  expect_failures = [terraform_data.workspace]
}

run "refuses_a_label_that_no_package_can_name" {
  command = plan
  variables {
    runners = { Finance = {} }
  }
  expect_failures = [var.runners]
}
