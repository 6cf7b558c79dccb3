terraform {
  # Resource Manager's newest Terraform is 1.5; nothing here needs more. The tests need 1.7.
  required_version = ">= 1.5.0, < 2.0.0"

  required_providers {
    oci = {
      source  = "oracle/oci"
      version = "~> 8.28"
    }
  }
}
