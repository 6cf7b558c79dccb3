# What has to hold with each of the files in environments:
#
#     terraform test -test-directory=tests/environments -var-file=environments/prod.tfvars

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
}

run "every_environment" {
  assert {
    condition     = output.buckets == { for name in ["packages", "results", "state", "policies", "jobs"] : name => "cemli-${var.environment}-${name}" }
    error_message = "the buckets are the environment's own"
  }
  assert {
    condition     = output.results_retention_days >= 30
    error_message = "evidence is immutable for 30 days at least"
  }
  assert {
    condition     = keys(output.tags) == ["App", "CostCenter", "Environment", "Owner"] && output.tags["Environment"] == var.environment
    error_message = "everything is tagged"
  }
  assert {
    condition     = output.function_config["CEMLI_ENVIRONMENT"] == var.environment && output.function_config["CEMLI_POLICY"] == "cemli-${var.environment}-policies/${var.environment}.json"
    error_message = "the function knows its environment and has a policy"
  }
  assert {
    condition     = output.function_config["CEMLI_RUNNER"] == "default=function:${output.runner_ids["default"]}" && !contains(keys(output.function_config), "CEMLI_SANDBOX")
    error_message = "scripts run apart"
  }
  assert {
    condition     = output.function_config["CEMLI_TOPIC"] == output.topics.runs && output.function_config["CEMLI_VAULT"] == output.vault_id
    error_message = "the function is given what was created"
  }
  assert {
    condition     = alltrue([for s in flatten(values(output.iam_statements)) : !can(regex("(?i)all-resources|in tenancy|\\$\\{", s))])
    error_message = "no policy is about everything"
  }
  assert {
    condition     = length([for s in output.iam_statements.function : s if strcontains(s, output.function_id)]) > 0 && output.iam_handover == ""
    error_message = "the function may invoke itself, by its id"
  }
  assert {
    condition     = !strcontains(join(" ", flatten(values(output.iam_statements))), "cemli-${var.environment == "prod" ? "dev" : "prod"}-")
    error_message = "no statement reaches another environment"
  }
}

run "one_builds_and_prod_approves" {
  assert {
    condition     = (output.build_pipeline_id != null) == (var.environment == "dev")
    error_message = "dev builds and no other"
  }
  assert {
    condition     = output.deploy_stages == concat(var.environment == "prod" ? ["MANUAL_APPROVAL"] : [], ["DEPLOY_FUNCTION", "DEPLOY_FUNCTION", "INVOKE_FUNCTION"])
    error_message = "every environment deploys and checks, prod after an approval"
  }
  assert {
    condition     = var.environment != "prod" || output.results_retention_days >= 365
    error_message = "in prod evidence stays for a year at least"
  }
}

run "before_the_first_image" {
  variables {
    create_function = false
    function_image  = ""
  }
  assert {
    condition     = output.function_id == null && !contains(output.deploy_stages, "DEPLOY_FUNCTION")
    error_message = "the first apply makes everything that an image needs"
  }
  assert {
    condition     = !anytrue([for s in flatten(values(output.iam_statements)) : strcontains(s, "target.function.id")])
    error_message = "and no statement for a function that is not there"
  }
}
