mock_provider "oci" {}

variables {
  compartment_id = "ocid1.compartment.oc1..c"
  tags           = { App = "cemli-executor" }
}

run "what_was_built_stays" {
  assert {
    condition     = oci_artifacts_container_repository.image.is_immutable && !oci_artifacts_container_repository.image.is_public
    error_message = "what was built is private and cannot be replaced"
  }
}
