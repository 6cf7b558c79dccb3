output "project_id" {
  description = "OCID of the project."
  value       = oci_devops_project.this.id
}

output "deploy_pipeline_id" {
  description = "OCID of the deployment pipeline."
  value       = oci_devops_deploy_pipeline.this.id
}

output "build_pipeline_id" {
  description = "OCID of the build pipeline; null where nothing is built."
  value       = one(oci_devops_build_pipeline.this[*].id)
}

output "repository_url" {
  description = "Where to push the code to, or where DevOps has its copy or reads it; null where nothing is built."
  value       = local.direct ? var.repository.url : one(oci_devops_repository.this[*].http_url)
}

output "repository_id" {
  description = "OCID of the repository of DevOps; null where there is none, as the source is read where it is."
  value       = one(oci_devops_repository.this[*].id)
}

output "connection_id" {
  description = "OCID of the connection to GitHub, GitLab or Bitbucket; null for a hosted repository."
  value       = one(oci_devops_connection.source[*].id)
}

output "trigger_url" {
  description = "Where the webhook of a source that is read directly sends pushes to; null for others. Its secret is told by OCI once, and not to Terraform."
  value       = local.direct ? one(oci_devops_trigger.push[*].trigger_url) : null
}

output "deploy_stages" {
  description = "Types of the deployment pipeline's stages, in their order."
  value = concat(
    oci_devops_deploy_stage.approval[*].deploy_stage_type,
    values(oci_devops_deploy_stage.runner)[*].deploy_stage_type,
    oci_devops_deploy_stage.deploy[*].deploy_stage_type,
    oci_devops_deploy_stage.check[*].deploy_stage_type,
  )
}

output "approval_stage_id" {
  description = "OCID of the stage that waits for approvals; null if there is none."
  value       = one(oci_devops_deploy_stage.approval[*].id)
}
