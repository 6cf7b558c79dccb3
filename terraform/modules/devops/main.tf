# Every environment has a deployment pipeline. One of them, usually dev, also has the
# repository and the build: what it built is deployed to the others by its digest and is
# not built again.

locals {
  prefix = "cemli-${var.environment}"
  hosted = var.build && var.repository.source == "HOSTED"
  direct = var.build && var.repository.source != "HOSTED" && !var.repository.mirror
  mirror = var.build && var.repository.source != "HOSTED" && var.repository.mirror
}

resource "oci_devops_project" "this" {
  compartment_id = var.compartment_id
  name           = local.prefix
  description    = "cemli-executor, ${var.environment}"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  notification_config {
    topic_id = var.topic_id
  }
}

# ---- source

resource "oci_devops_connection" "source" {
  count = local.mirror || local.direct ? 1 : 0

  project_id      = oci_devops_project.this.id
  display_name    = "${local.prefix}-source"
  connection_type = local.connection_types[var.repository.source]
  freeform_tags   = var.tags
  defined_tags    = var.defined_tags

  # The token's secret, never the token. For Bitbucket the type is still named after app
  # passwords, which ended in July 2026: an API token of Atlassian's takes their place.
  access_token = var.repository.source == "BITBUCKET" ? null : var.repository.token_secret_id
  app_password = var.repository.source == "BITBUCKET" ? var.repository.token_secret_id : null
  username     = var.repository.source == "BITBUCKET" ? var.repository.username : null
}

# Each source besides has a connection of its own, as it may want another token.
resource "oci_devops_connection" "more" {
  for_each = { for source in local.more : source.name => source if source.source != "HOSTED" }

  project_id      = oci_devops_project.this.id
  display_name    = "${local.prefix}-${each.key}"
  connection_type = local.connection_types[each.value.source]
  access_token    = each.value.token_secret_id
  freeform_tags   = var.tags
  defined_tags    = var.defined_tags
}

locals {
  more             = var.build ? var.more_sources : []
  connection_types = { GITHUB = "GITHUB_ACCESS_TOKEN", GITLAB = "GITLAB_ACCESS_TOKEN", BITBUCKET = "BITBUCKET_CLOUD_APP_PASSWORD" }
}

resource "oci_devops_repository" "this" {
  count = local.hosted || local.mirror ? 1 : 0

  project_id      = oci_devops_project.this.id
  name            = "cemli-executor"
  repository_type = local.hosted ? "HOSTED" : "MIRRORED"
  default_branch  = local.hosted ? "refs/heads/${var.repository.branch}" : null
  freeform_tags   = var.tags
  defined_tags    = var.defined_tags

  dynamic "mirror_repository_config" {
    for_each = local.mirror ? oci_devops_connection.source : []
    content {
      connector_id   = mirror_repository_config.value.id
      repository_url = var.repository.url

      trigger_schedule {
        schedule_type   = "CUSTOM"
        custom_schedule = var.repository.mirror_schedule
      }
    }
  }
}

# ---- what is built

resource "oci_artifacts_repository" "files" {
  count = var.build ? 1 : 0

  compartment_id  = var.compartment_id
  display_name    = "${local.prefix}-files"
  description     = "The command line's binaries and the bill of materials of each build"
  repository_type = "GENERIC"
  is_immutable    = true
  freeform_tags   = var.tags
  defined_tags    = var.defined_tags
}

locals {
  # $${…} is for DevOps, which replaces it by a parameter.
  image_uri = "${var.image_path}:$${IMAGE_TAG}"
  files     = var.build ? var.files : {}
}

resource "oci_devops_deploy_artifact" "image" {
  project_id                 = oci_devops_project.this.id
  display_name               = "image"
  deploy_artifact_type       = "DOCKER_IMAGE"
  argument_substitution_mode = "SUBSTITUTE_PLACEHOLDERS"
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags

  deploy_artifact_source {
    deploy_artifact_source_type = "OCIR"
    image_uri                   = local.image_uri
    # The build's own environment deploys what was just pushed under a tag that cannot move;
    # its digest is not known before. Everywhere else the digest is what was approved.
    image_digest = var.build ? null : "$${IMAGE_DIGEST}"
  }
}

resource "oci_devops_deploy_artifact" "file" {
  for_each = local.files

  project_id                 = oci_devops_project.this.id
  display_name               = each.key
  deploy_artifact_type       = "GENERIC_FILE"
  argument_substitution_mode = "SUBSTITUTE_PLACEHOLDERS"
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags

  deploy_artifact_source {
    deploy_artifact_source_type = "GENERIC_ARTIFACT"
    repository_id               = oci_artifacts_repository.files[0].id
    deploy_artifact_path        = each.value
    deploy_artifact_version     = "$${IMAGE_TAG}"
  }
}

# ---- build

resource "oci_devops_build_pipeline" "this" {
  count = var.build ? 1 : 0

  project_id    = oci_devops_project.this.id
  display_name  = "${local.prefix}-build"
  description   = "Checks, builds, delivers and deploys to ${var.environment}"
  freeform_tags = var.tags
  defined_tags  = var.defined_tags

  dynamic "build_pipeline_parameters" {
    for_each = length(var.build_parameters) > 0 ? [var.build_parameters] : []
    content {
      dynamic "items" {
        for_each = build_pipeline_parameters.value
        content {
          name          = items.key
          default_value = items.value
        }
      }
    }
  }
}

resource "oci_devops_build_pipeline_stage" "build" {
  count = var.build ? 1 : 0

  build_pipeline_id                  = oci_devops_build_pipeline.this[0].id
  build_pipeline_stage_type          = "BUILD"
  display_name                       = "build"
  build_spec_file                    = "build_spec.yaml"
  image                              = var.build_image
  primary_build_source               = "source"
  stage_execution_timeout_in_seconds = var.build_timeout_seconds
  freeform_tags                      = var.tags
  defined_tags                       = var.defined_tags

  build_pipeline_stage_predecessor_collection {
    items {
      id = oci_devops_build_pipeline.this[0].id # the first stage follows the pipeline itself
    }
  }

  build_source_collection {
    items {
      connection_type = local.source_type
      name            = "source"
      branch          = var.repository.branch
      connection_id   = local.direct ? oci_devops_connection.source[0].id : null
      repository_id   = one(oci_devops_repository.this[*].id)
      repository_url  = local.direct ? var.repository.url : oci_devops_repository.this[0].http_url
    }

    # Checked out beside it, into $${OCI_WORKSPACE_DIR}/NAME.
    dynamic "items" {
      for_each = local.more
      content {
        connection_type = items.value.source == "HOSTED" ? "DEVOPS_CODE_REPOSITORY" : items.value.source
        name            = items.value.name
        branch          = items.value.branch
        connection_id   = items.value.source == "HOSTED" ? null : oci_devops_connection.more[items.value.name].id
        repository_id   = items.value.repository_id
        repository_url  = items.value.url
      }
    }
  }
}

locals {
  # A mirror is a repository of DevOps like a hosted one; what is read directly is named by its host.
  source_type = local.direct ? var.repository.source : "DEVOPS_CODE_REPOSITORY"
}

resource "oci_devops_build_pipeline_stage" "deliver" {
  count = var.build ? 1 : 0

  build_pipeline_id         = oci_devops_build_pipeline.this[0].id
  build_pipeline_stage_type = "DELIVER_ARTIFACT"
  display_name              = "deliver"
  freeform_tags             = var.tags
  defined_tags              = var.defined_tags

  build_pipeline_stage_predecessor_collection {
    items {
      id = oci_devops_build_pipeline_stage.build[0].id
    }
  }

  deliver_artifact_collection {
    # Names are those of outputArtifacts in build_spec.yaml.
    items {
      artifact_name = "image"
      artifact_id   = oci_devops_deploy_artifact.image.id
    }

    dynamic "items" {
      for_each = oci_devops_deploy_artifact.file
      content {
        artifact_name = items.key
        artifact_id   = items.value.id
      }
    }
  }
}

resource "oci_devops_build_pipeline_stage" "deploy" {
  # Nothing to deploy to before the function is there.
  count = var.build && var.function_exists ? 1 : 0

  build_pipeline_id              = oci_devops_build_pipeline.this[0].id
  build_pipeline_stage_type      = "TRIGGER_DEPLOYMENT_PIPELINE"
  display_name                   = "deploy"
  deploy_pipeline_id             = oci_devops_deploy_pipeline.this.id
  is_pass_all_parameters_enabled = true # IMAGE_TAG, which the build exports
  freeform_tags                  = var.tags
  defined_tags                   = var.defined_tags

  build_pipeline_stage_predecessor_collection {
    items {
      id = oci_devops_build_pipeline_stage.deliver[0].id
    }
  }
}

resource "oci_devops_trigger" "push" {
  count = var.build && (var.repository.trigger || !local.direct) ? 1 : 0

  project_id     = oci_devops_project.this.id
  display_name   = "${local.prefix}-push"
  trigger_source = local.source_type
  repository_id  = one(oci_devops_repository.this[*].id)
  # Files are filtered by what the connection tells of a push.
  connection_id = local.direct ? oci_devops_connection.source[0].id : null
  freeform_tags = var.tags
  defined_tags  = var.defined_tags

  actions {
    type              = "TRIGGER_BUILD_PIPELINE"
    build_pipeline_id = oci_devops_build_pipeline.this[0].id

    filter {
      trigger_source = local.source_type
      events         = ["PUSH"]

      include {
        head_ref = var.repository.branch
      }

      exclude {
        file_filter {
          file_paths = var.documentation
        }
      }
    }
  }
}

# ---- deployment

resource "oci_devops_deploy_pipeline" "this" {
  project_id    = oci_devops_project.this.id
  display_name  = "${local.prefix}-deploy"
  description   = "Deploys an image to ${var.environment} and checks it"
  freeform_tags = var.tags
  defined_tags  = var.defined_tags

  deploy_pipeline_parameters {
    items {
      name        = "IMAGE_TAG"
      description = "tag of the image"
    }

    dynamic "items" {
      for_each = var.build ? [] : [1]
      content {
        name        = "IMAGE_DIGEST"
        description = "digest of the image, as it was deployed to the environment before"
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.environment != "prod" || var.approvals > 0
      error_message = "Nothing is deployed to prod without an approval: set approvals to 1 or more."
    }
    precondition {
      condition     = var.environment != "prod" || !var.build
      error_message = "prod does not build: it deploys the digest that passed before."
    }
  }
}

resource "oci_devops_deploy_environment" "function" {
  count = var.function_exists ? 1 : 0

  project_id              = oci_devops_project.this.id
  display_name            = local.prefix
  deploy_environment_type = "FUNCTION"
  function_id             = var.function_id
  freeform_tags           = var.tags
  defined_tags            = var.defined_tags
}

resource "oci_devops_deploy_stage" "approval" {
  count = var.approvals > 0 ? 1 : 0

  deploy_pipeline_id = oci_devops_deploy_pipeline.this.id
  deploy_stage_type  = "MANUAL_APPROVAL"
  display_name       = "approval"
  freeform_tags      = var.tags
  defined_tags       = var.defined_tags

  deploy_stage_predecessor_collection {
    items {
      id = oci_devops_deploy_pipeline.this.id # the first stage follows the pipeline itself
    }
  }

  approval_policy {
    approval_policy_type         = "COUNT_BASED_APPROVAL"
    number_of_approvals_required = var.approvals
  }
}

resource "oci_devops_deploy_environment" "runner" {
  for_each = var.function_exists ? var.runners : {}

  project_id              = oci_devops_project.this.id
  display_name            = "${local.prefix}-runner-${each.key}"
  deploy_environment_type = "FUNCTION"
  function_id             = each.value
  freeform_tags           = var.tags
  defined_tags            = var.defined_tags
}

# Before the function, and side by side: a runner takes the jobs of its own version and of the
# one before, and no later ones.
resource "oci_devops_deploy_stage" "runner" {
  for_each = oci_devops_deploy_environment.runner

  deploy_pipeline_id              = oci_devops_deploy_pipeline.this.id
  deploy_stage_type               = "DEPLOY_FUNCTION"
  display_name                    = "runner-${each.key}"
  function_deploy_environment_id  = each.value.id
  docker_image_deploy_artifact_id = oci_devops_deploy_artifact.image.id
  freeform_tags                   = var.tags
  defined_tags                    = var.defined_tags

  deploy_stage_predecessor_collection {
    items {
      id = local.first_deployed_after
    }
  }
}

locals {
  first_deployed_after = var.approvals > 0 ? oci_devops_deploy_stage.approval[0].id : oci_devops_deploy_pipeline.this.id
  function_after       = length(var.runners) > 0 ? [for stage in oci_devops_deploy_stage.runner : stage.id] : [local.first_deployed_after]
}

resource "oci_devops_deploy_stage" "deploy" {
  count = var.function_exists ? 1 : 0

  deploy_pipeline_id              = oci_devops_deploy_pipeline.this.id
  deploy_stage_type               = "DEPLOY_FUNCTION"
  display_name                    = "deploy"
  function_deploy_environment_id  = oci_devops_deploy_environment.function[0].id
  docker_image_deploy_artifact_id = oci_devops_deploy_artifact.image.id
  freeform_tags                   = var.tags
  defined_tags                    = var.defined_tags

  deploy_stage_predecessor_collection {
    dynamic "items" {
      for_each = local.function_after
      content {
        id = items.value
      }
    }
  }
}

# What the last stage sends: the function says whether its configuration, its buckets and what
# it may do are such that it works, with its runners.
resource "oci_devops_deploy_artifact" "check" {
  project_id                 = oci_devops_project.this.id
  display_name               = "check"
  deploy_artifact_type       = "GENERIC_FILE"
  argument_substitution_mode = "NONE"
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags

  deploy_artifact_source {
    deploy_artifact_source_type = "INLINE"
    # The provider encodes it: https://github.com/oracle/terraform-provider-oci/issues/1842
    base64encoded_content = jsonencode({ action = "probe", verdict = true })
  }
}

resource "oci_devops_deploy_stage" "check" {
  count = var.function_exists ? 1 : 0

  deploy_pipeline_id             = oci_devops_deploy_pipeline.this.id
  deploy_stage_type              = "INVOKE_FUNCTION"
  display_name                   = "check"
  function_deploy_environment_id = oci_devops_deploy_environment.function[0].id
  deploy_artifact_id             = oci_devops_deploy_artifact.check.id
  is_async                       = false
  # Validation fails the stage unless the answer is the text true; what is not as it should be
  # is in the function's log.
  is_validation_enabled = true
  freeform_tags         = var.tags
  defined_tags          = var.defined_tags

  deploy_stage_predecessor_collection {
    items {
      id = oci_devops_deploy_stage.deploy[0].id
    }
  }
}
