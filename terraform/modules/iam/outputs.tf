output "statements" {
  description = "The policies' statements, by policy."
  value       = local.statements
}

output "dynamic_groups" {
  description = "The dynamic groups' matching rules, by name."
  value       = { for name, rule in local.dynamic_groups : "${local.prefix}-${name}" => rule }
}

output "handover" {
  description = "All of it as text for whoever owns IAM; empty where this module created it."
  value = var.create ? "" : join("\n", concat(
    [for name, rule in local.dynamic_groups : "dynamic group ${local.prefix}-${name}\n    ${rule}"],
    [for name, list in local.statements : "policy ${local.prefix}-${name}, in the tenancy\n    ${join("\n    ", list)}"],
  ))
}
