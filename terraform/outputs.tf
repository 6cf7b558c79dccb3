output "compartment_id" {
  description = "OCID of the environment's compartment."
  value       = local.compartment_id
}

output "buckets" {
  description = "Names of the buckets."
  value = {
    packages = module.storage.packages_bucket
    results  = module.storage.results_bucket
    state    = module.storage.state_bucket
    policies = module.storage.policies_bucket
    jobs     = module.storage.jobs_bucket
  }
}

output "results_retention_days" {
  description = "How long evidence cannot be changed or deleted."
  value       = module.storage.results_retention_days
}

output "function_id" {
  description = "OCID of the function; null as long as it is not created."
  value       = module.function.function_id
}

output "runner_ids" {
  description = "OCIDs of the runners, by label; null each as long as they are not created."
  value       = { for label, runner in module.runner : label => runner.function_id }
}

output "runners" {
  description = "Where scripts run, as the function is told, the default first; here: in the function itself."
  value       = lookup(module.function.config, "CEMLI_RUNNER", "here")
}

output "runners_compartment_id" {
  description = "OCID of the compartment of runners; null if there are none."
  value       = local.runners_compartment_id
}

output "runner_log_group_id" {
  description = "OCID of the log group of runners; null if there are none."
  value       = module.observability.runner_log_group_id
}

output "function_config" {
  description = "The function's configuration."
  value       = module.function.config
}

output "image_path" {
  description = "Where images are pushed and pulled, without a tag."
  value       = local.image_path
}

output "topics" {
  description = "OCIDs of the topics."
  value       = { runs = module.observability.runs_topic_id, failures = module.observability.failures_topic_id }
}

output "vault_id" {
  description = "OCID of the vault; null if there is none."
  value       = local.vault_id
}

output "secrets_key_id" {
  description = "OCID of the created vault's key for secrets; null if there is none."
  value       = one(module.vault[*].secrets_key_id)
}

output "log_group_id" {
  description = "OCID of the log group of the function and of DevOps."
  value       = module.observability.log_group_id
}

output "uploads_log_group_id" {
  description = "OCID of the log group of the packages bucket's write log."
  value       = module.observability.uploads_log_group_id
}

output "rule_id" {
  description = "OCID of the rule that uploads run by; null as long as there is no function."
  value       = one(module.events[*].rule_id)
}

output "devops_project_id" {
  description = "OCID of the DevOps project; null if there is none."
  value       = one(module.devops[*].project_id)
}

output "repository_url" {
  description = "Where to push the code to, or where DevOps has its copy or reads it; null where nothing is built."
  value       = one(module.devops[*].repository_url)
}

output "repository_id" {
  description = "OCID of the repository of DevOps; null where there is none."
  value       = one(module.devops[*].repository_id)
}

output "repository_branch" {
  description = "The branch whose pushes are built."
  value       = var.repository_branch
}

output "connection_id" {
  description = "OCID of the connection to GitHub, GitLab or Bitbucket; null for a hosted repository."
  value       = one(module.devops[*].connection_id)
}

output "trigger_url" {
  description = "Where the webhook of a source that is read where it is sends pushes to; null for others."
  value       = one(module.devops[*].trigger_url)
}

output "build_pipeline_id" {
  description = "OCID of the build pipeline; null where nothing is built."
  value       = one(module.devops[*].build_pipeline_id)
}

output "deploy_pipeline_id" {
  description = "OCID of the deployment pipeline; null if there is none."
  value       = one(module.devops[*].deploy_pipeline_id)
}

output "approval_stage_id" {
  description = "OCID of the stage that waits for approvals; null if there is none."
  value       = one(module.devops[*].approval_stage_id)
}

output "deploy_stages" {
  description = "Types of the deployment pipeline's stages, in their order."
  value       = flatten(module.devops[*].deploy_stages)
}

output "iam_statements" {
  description = "Statements of the policies, by policy."
  value       = module.iam.statements
}

output "iam_handover" {
  description = "Dynamic groups and policies as text, for whoever owns IAM; empty where Terraform created them."
  value       = module.iam.handover
}

output "tags" {
  description = "Free-form tags of everything."
  value       = local.tags
}
