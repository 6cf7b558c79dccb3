provider "oci" {
  tenancy_ocid = var.tenancy_ocid
  region       = var.region
}

# IAM is written in the tenancy's home region only.
provider "oci" {
  alias        = "home"
  tenancy_ocid = var.tenancy_ocid
  region       = local.home_region
}
