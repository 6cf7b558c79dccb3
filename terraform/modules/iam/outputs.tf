output "statements" {
  description = "The policies' statements, by policy."
  value       = merge(local.statements, { images = local.images }, var.encrypts ? { encryption = local.encryption } : {})
}

output "dynamic_groups" {
  description = "The dynamic groups' matching rules, by name."
  value       = { for name, rule in local.dynamic_groups : "${local.prefix}-${name}" => rule }
}

output "handover" {
  description = "All of it as text for whoever owns IAM; empty where this module created it."
  value = var.create ? "" : join("\n", concat(
    [for name, rule in local.dynamic_groups : "dynamic group ${local.prefix}-${name}\n    ${rule}"],
    [for name, list in merge(local.statements, { images = local.images }, var.encrypts ? { encryption = local.encryption } : {}) : "policy ${local.prefix}-${name}, in the tenancy\n    ${join("\n    ", list)}"],
  ))

  # As for the policies, where somebody else makes them.
  precondition {
    condition     = var.create || local.policies_apart
    error_message = "Those who write policies are authors or approvers, too: a group of its own writes policies."
  }
  precondition {
    condition     = var.create || local.runners_apart
    error_message = "Runners are in the executor's compartment, where they would have all that it may do: they need one of their own."
  }
  precondition {
    condition     = var.create || try(var.groups.approvers, null) == null || try(var.groups.approvers, "") != try(var.groups.promotion, "")
    error_message = "Approvers and the promotion pipeline are the same group: whoever starts a deployment would approve it."
  }
}

output "policy_ids" {
  description = "OCIDs of the policies, for what has to wait until they are there."
  value       = [for policy in oci_identity_policy.this : policy.id]
}

output "images_policy_ids" {
  description = "OCID of the policy for the function's image, for the function to wait for."
  value       = oci_identity_policy.images[*].id
}

output "encryption_policy_ids" {
  description = "OCID of the policy for the buckets' key, for the buckets to wait for."
  value       = oci_identity_policy.encryption[*].id
}
