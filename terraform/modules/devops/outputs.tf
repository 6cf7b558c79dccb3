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
  description = "Where to push the code to, or what is mirrored; null where nothing is built."
  value       = one(oci_devops_repository.this[*].http_url)
}

output "deploy_stages" {
  description = "Types of the deployment pipeline's stages, in their order."
  value = concat(
    oci_devops_deploy_stage.approval[*].deploy_stage_type,
    oci_devops_deploy_stage.deploy[*].deploy_stage_type,
    oci_devops_deploy_stage.check[*].deploy_stage_type,
  )
}

output "approval_stage_id" {
  description = "OCID of the stage that waits for approvals; null if there is none."
  value       = one(oci_devops_deploy_stage.approval[*].id)
}
