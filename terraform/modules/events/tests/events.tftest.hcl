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

run "there_are_no_triggers_unless_named" {
  assert {
    condition     = length(oci_events_rule.trigger) == 0
    error_message = "uploads alone"
  }
}

run "triggers_reach_the_function" {
  variables {
    triggers = {
      erp-secrets = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "erp-*" }
      one-secret  = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "ocid1.vaultsecret.oc1..s", compartment_ocid = "ocid1.compartment.oc1..secrets" }
    }
  }
  assert {
    condition     = jsondecode(oci_events_rule.trigger["erp-secrets"].condition) == { eventType = ["com.oraclecloud.vaultsecret.createsecretversion"], data = { resourceName = ["erp-*"] } }
    error_message = "new versions of secrets by their names"
  }
  assert {
    condition     = jsondecode(oci_events_rule.trigger["one-secret"].condition).data == { resourceId = ["ocid1.vaultsecret.oc1..s"] }
    error_message = "and by their OCID"
  }
  assert {
    condition     = [for rule in oci_events_rule.trigger : rule.compartment_id] == ["ocid1.compartment.oc1..c", "ocid1.compartment.oc1..secrets"]
    error_message = "each where its events are seen"
  }
  assert {
    condition     = alltrue([for rule in oci_events_rule.trigger : [for action in rule.actions[0].action : "${action.action_type} ${action.function_id} ${action.is_enabled}"] == ["FAAS ocid1.fnfunc.oc1..f true"]])
    error_message = "the one action is the function"
  }
}

run "triggers_can_be_stopped" {
  variables {
    enabled  = false
    triggers = { erp-secrets = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "erp-*" } }
  }
  assert {
    condition     = !oci_events_rule.trigger["erp-secrets"].is_enabled
    error_message = "the rule is disabled"
  }
}

run "uploads_are_no_triggers" {
  command = plan
  variables {
    triggers = { uploads = { event_type = "com.oraclecloud.ObjectStorage.createobject", resource = "*" } }
  }
  expect_failures = [var.triggers]
}

run "a_resource_is_no_condition" {
  command = plan
  variables {
    triggers = { odd = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "a\"]}" } }
  }
  expect_failures = [var.triggers]
}
