mock_provider "oci" {}

variables {
  compartment_id  = "ocid1.compartment.oc1..c"
  environment     = "dev"
  packages_bucket = "cemli-dev-packages"
  function_id     = "ocid1.fnfunc.oc1..f"
  tags            = { App = "cemli-executor" }
}

run "uploads_reach_the_function" {
  assert {
    condition     = toset(jsondecode(oci_events_rule.packages.condition).eventType) == toset(["com.oraclecloud.objectstorage.createobject", "com.oraclecloud.objectstorage.updateobject"])
    error_message = "creation and update of objects"
  }
  assert {
    condition     = jsondecode(oci_events_rule.packages.condition).data.additionalDetails.bucketName == ["cemli-dev-packages"]
    error_message = "of the packages bucket only"
  }
  assert {
    condition     = [for action in oci_events_rule.packages.actions[0].action : "${action.action_type} ${action.function_id}"] == ["FAAS ocid1.fnfunc.oc1..f"]
    error_message = "the one action is the function"
  }
}

run "can_be_stopped" {
  variables {
    enabled = false
  }
  assert {
    condition     = !oci_events_rule.packages.is_enabled
    error_message = "the rule is disabled"
  }
}
