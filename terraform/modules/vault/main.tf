resource "oci_kms_vault" "this" {
  compartment_id = var.compartment_id
  display_name   = "cemli-${var.environment}"
  vault_type     = "DEFAULT"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

locals {
  keys = merge(
    { secrets = { algorithm = "AES", length = 32, curve = null } },
    var.storage_key ? { storage = { algorithm = "AES", length = 32, curve = null } } : {},
    var.signing_key ? { signing = { algorithm = "ECDSA", length = 32, curve = "NIST_P256" } } : {},
  )
}

# The vault's address cannot be resolved at once, and the provider does not try again:
# https://github.com/oracle/terraform-provider-oci/issues/1955
resource "terraform_data" "endpoint" {
  triggers_replace = [oci_kms_vault.this.id]

  provisioner "local-exec" {
    command = var.settle_seconds > 0 ? "sleep ${var.settle_seconds}" : "exit 0"
  }
}

resource "oci_kms_key" "this" {
  for_each = local.keys

  compartment_id      = var.compartment_id
  management_endpoint = oci_kms_vault.this.management_endpoint
  display_name        = "cemli-${var.environment}-${each.key}"
  protection_mode     = var.protection_mode
  freeform_tags       = var.tags
  defined_tags        = var.defined_tags

  key_shape {
    algorithm = each.value.algorithm
    length    = each.value.length
    curve_id  = each.value.curve
  }

  depends_on = [terraform_data.endpoint]
}

# Values that Terraform gave would stay in its state. These OCI makes up itself; others are
# put into the vault by whoever has them.
resource "oci_vault_secret" "generated" {
  for_each = var.generated_secrets

  compartment_id         = var.compartment_id
  vault_id               = oci_kms_vault.this.id
  key_id                 = oci_kms_key.this["secrets"].id
  secret_name            = each.value
  enable_auto_generation = true
  freeform_tags          = var.tags
  defined_tags           = var.defined_tags

  secret_generation_context {
    generation_type     = "PASSPHRASE"
    generation_template = "SECRETS_DEFAULT_PASSWORD"
    passphrase_length   = 32
  }
}
