# From the first apply, without an image, to one that forgets to name it.

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
  environment      = "qa"

  results_retention_days = 7
}

run "first" {
  variables {
    create_function = false
  }
  assert {
    condition     = output.function_id == null && length(module.events) == 0
    error_message = "there is no function without an image"
  }
  assert {
    condition     = output.runner_ids == { default = null } && output.runners_compartment_id != null && module.runner["default"].application_id != null
    error_message = "nor a runner, whose compartment, subnet and application come first"
  }
}

run "with_the_image" {
  variables {
    function_image = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"
  }
  assert {
    condition     = output.function_id != null && length(module.events) == 1 && length(local.schedule_ids) > 0
    error_message = "the function, its rule and its schedules are created"
  }
}

run "without_naming_it" {
  assert {
    condition = (
      output.function_id == run.with_the_image.function_id && one(module.events[*].rule_id) == run.with_the_image.rule_id && length(local.schedule_ids) > 0 &&
      output.deploy_stages == ["DEPLOY_FUNCTION", "DEPLOY_FUNCTION", "INVOKE_FUNCTION"] &&
      output.runners == run.with_the_image.runners
    )
    error_message = "an apply that names no image destroys nothing"
  }
}
