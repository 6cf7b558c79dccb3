mock_provider "oci" {}

variables {
  parent_id   = "ocid1.tenancy.oc1..t"
  name        = "cemli-dev"
  description = "test"
  tags        = { App = "cemli-executor" }
}

run "is_never_deleted" {
  assert {
    condition     = oci_identity_compartment.this.enable_delete == false
    error_message = "destroy must leave the compartment"
  }
  assert {
    condition     = oci_identity_compartment.this.freeform_tags["App"] == "cemli-executor"
    error_message = "the compartment is tagged"
  }
}

run "refuses_a_name_for_an_ocid" {
  command = plan
  variables {
    parent_id = "cemli"
  }
  expect_failures = [var.parent_id]
}
