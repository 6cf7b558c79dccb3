mock_provider "oci" {}

variables {
  compartment_id = "ocid1.compartment.oc1..c"
  environment    = "dev"
  tags           = { App = "cemli-executor" }
}

run "one_key_for_secrets" {
  assert {
    condition     = keys(oci_kms_key.this) == ["secrets"] && oci_kms_key.this["secrets"].key_shape[0].algorithm == "AES"
    error_message = "no key that nobody asked for"
  }
  assert {
    condition     = output.storage_key_id == null && output.signing_key_id == null
    error_message = "and none is claimed"
  }
}

run "all_keys" {
  variables {
    storage_key       = true
    signing_key       = true
    protection_mode   = "HSM"
    generated_secrets = ["erp-batch-password"]
  }
  assert {
    condition     = oci_kms_key.this["signing"].key_shape[0].algorithm == "ECDSA" && oci_kms_key.this["signing"].key_shape[0].curve_id == "NIST_P256"
    error_message = "a key that signs"
  }
  assert {
    condition     = alltrue([for key in oci_kms_key.this : key.protection_mode == "HSM"]) && output.storage_key_id == oci_kms_key.this["storage"].id
    error_message = "keys where they were asked for"
  }
  assert {
    condition     = oci_vault_secret.generated["erp-batch-password"].enable_auto_generation && length(oci_vault_secret.generated["erp-batch-password"].secret_content) == 0
    error_message = "the value is never in Terraform"
  }
}

run "refuses_an_unknown_protection" {
  command = plan
  variables {
    protection_mode = "NONE"
  }
  expect_failures = [var.protection_mode]
}
