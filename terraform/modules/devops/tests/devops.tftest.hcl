mock_provider "oci" {}

variables {
  compartment_id  = "ocid1.compartment.oc1..c"
  environment     = "dev"
  topic_id        = "ocid1.onstopic.oc1..failures"
  function_exists = true
  function_id     = "ocid1.fnfunc.oc1..f"
  image_path      = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor"
  tags            = { App = "cemli-executor" }
}

run "dev_builds" {
  variables {
    build = true
    files = { cli = "cemli-linux-amd64", sbom = "sbom.json" }

    build_parameters = { RUNTIME_IMAGE = "registry.example.com/debian:13" }
  }
  assert {
    condition     = oci_devops_build_pipeline.this[0].build_pipeline_parameters[0].items[0].name == "RUNTIME_IMAGE"
    error_message = "the build has its parameters"
  }
  assert {
    condition     = oci_devops_repository.this[0].repository_type == "HOSTED" && length(oci_devops_connection.source) == 0
    error_message = "the repository is hosted by default"
  }
  assert {
    condition     = oci_artifacts_repository.files[0].is_immutable
    error_message = "what was built cannot be replaced"
  }
  assert {
    condition = (
      oci_devops_build_pipeline_stage.build[0].build_pipeline_stage_predecessor_collection[0].items[0].id == oci_devops_build_pipeline.this[0].id &&
      oci_devops_build_pipeline_stage.deliver[0].build_pipeline_stage_predecessor_collection[0].items[0].id == oci_devops_build_pipeline_stage.build[0].id &&
      oci_devops_build_pipeline_stage.deploy[0].build_pipeline_stage_predecessor_collection[0].items[0].id == oci_devops_build_pipeline_stage.deliver[0].id
    )
    error_message = "build, deliver, deploy, in this order"
  }
  assert {
    condition     = [for item in oci_devops_build_pipeline_stage.deliver[0].deliver_artifact_collection[0].items : item.artifact_name] == ["image", "cli", "sbom"]
    error_message = "the image and the files are delivered"
  }
  assert {
    condition     = oci_devops_build_pipeline_stage.deploy[0].is_pass_all_parameters_enabled && oci_devops_build_pipeline_stage.deploy[0].deploy_pipeline_id == output.deploy_pipeline_id
    error_message = "the deployment gets the build's parameters"
  }
  assert {
    condition     = oci_devops_deploy_artifact.image.deploy_artifact_source[0].image_uri == "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:$${IMAGE_TAG}" && oci_devops_deploy_artifact.image.argument_substitution_mode == "SUBSTITUTE_PLACEHOLDERS"
    error_message = "the image of this build"
  }
  assert {
    condition     = output.deploy_stages == ["DEPLOY_FUNCTION", "INVOKE_FUNCTION"]
    error_message = "dev deploys without an approval, and checks"
  }
  assert {
    condition = (
      oci_devops_trigger.push[0].actions[0].filter[0].events == tolist(["PUSH"]) &&
      oci_devops_trigger.push[0].actions[0].filter[0].include[0].head_ref == "main" &&
      contains(oci_devops_trigger.push[0].actions[0].filter[0].exclude[0].file_filter[0].file_paths, "docs/**")
    )
    error_message = "pushes to main start a build, unless only documentation changed"
  }
}

run "mirrors" {
  variables {
    build      = true
    repository = { source = "GITHUB", url = "https://github.com/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t" }
  }
  assert {
    condition     = oci_devops_connection.source[0].connection_type == "GITHUB_ACCESS_TOKEN" && oci_devops_connection.source[0].access_token == "ocid1.vaultsecret.oc1..t"
    error_message = "the connection has the secret's OCID"
  }
  assert {
    condition     = oci_devops_repository.this[0].repository_type == "MIRRORED" && oci_devops_repository.this[0].mirror_repository_config[0].connector_id == oci_devops_connection.source[0].id
    error_message = "the repository is a mirror through it"
  }
  assert {
    condition     = oci_devops_repository.this[0].mirror_repository_config[0].trigger_schedule[0].schedule_type == "CUSTOM" && oci_devops_repository.this[0].mirror_repository_config[0].trigger_schedule[0].custom_schedule != null
    error_message = "on a schedule"
  }
}

run "mirrors_bitbucket" {
  variables {
    build      = true
    repository = { source = "BITBUCKET", url = "https://bitbucket.org/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t", username = "example" }
  }
  assert {
    condition     = oci_devops_connection.source[0].app_password == "ocid1.vaultsecret.oc1..t" && oci_devops_connection.source[0].username == "example" && oci_devops_connection.source[0].connection_type == "BITBUCKET_CLOUD_APP_PASSWORD"
    error_message = "Bitbucket has a token and a user, in a connection that is named after app passwords"
  }
}

run "reads_github" {
  variables {
    build      = true
    repository = { source = "GITHUB", mirror = false, url = "https://github.com/example/cemli-executor", branch = "release", token_secret_id = "ocid1.vaultsecret.oc1..t" }
  }
  assert {
    condition     = oci_devops_connection.source[0].connection_type == "GITHUB_ACCESS_TOKEN" && oci_devops_connection.source[0].access_token == "ocid1.vaultsecret.oc1..t"
    error_message = "the connection has the secret's OCID"
  }
  assert {
    condition     = length(oci_devops_repository.this) == 0 && output.repository_id == null && output.repository_url == "https://github.com/example/cemli-executor"
    error_message = "there is no copy of the repository"
  }
  assert {
    condition = one([for item in oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items :
    item.connection_type == "GITHUB" && item.connection_id == oci_devops_connection.source[0].id && item.repository_url == "https://github.com/example/cemli-executor" && item.branch == "release" && item.name == oci_devops_build_pipeline_stage.build[0].primary_build_source])
    error_message = "the build reads GitHub through the connection"
  }
  assert {
    condition = (
      oci_devops_trigger.push[0].trigger_source == "GITHUB" && oci_devops_trigger.push[0].connection_id == oci_devops_connection.source[0].id &&
      oci_devops_trigger.push[0].actions[0].filter[0].trigger_source == "GITHUB" &&
      oci_devops_trigger.push[0].actions[0].filter[0].events == tolist(["PUSH"]) &&
      oci_devops_trigger.push[0].actions[0].filter[0].include[0].head_ref == "release" &&
      contains(oci_devops_trigger.push[0].actions[0].filter[0].exclude[0].file_filter[0].file_paths, "docs/**")
    )
    error_message = "pushes there start a build, unless only documentation changed"
  }
  assert {
    condition     = output.trigger_url == oci_devops_trigger.push[0].trigger_url && output.trigger_url != null && output.connection_id == oci_devops_connection.source[0].id
    error_message = "what the webhook needs is an output"
  }
}

run "reads_gitlab" {
  variables {
    build      = true
    repository = { source = "GITLAB", mirror = false, url = "https://gitlab.com/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t" }
  }
  assert {
    condition     = oci_devops_connection.source[0].connection_type == "GITLAB_ACCESS_TOKEN" && oci_devops_trigger.push[0].trigger_source == "GITLAB" && oci_devops_trigger.push[0].actions[0].filter[0].trigger_source == "GITLAB"
    error_message = "pushes to GitLab start a build"
  }
  assert {
    condition     = oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items[0].connection_type == "GITLAB" && oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items[0].connection_id == oci_devops_connection.source[0].id
    error_message = "the build reads GitLab through the connection"
  }
}

run "leaves_the_trigger_to_others" {
  variables {
    build      = true
    repository = { source = "GITHUB", mirror = false, trigger = false, url = "https://github.com/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t" }
  }
  assert {
    condition     = length(oci_devops_trigger.push) == 0 && output.trigger_url == null && output.connection_id != null
    error_message = "a trigger whose secret is to be seen is made elsewhere"
  }
}

run "more_sources" {
  variables {
    build = true
    more_sources = [
      { name = "tools", source = "GITHUB", url = "https://github.com/example/tools", token_secret_id = "ocid1.vaultsecret.oc1..g" },
      { name = "lab", source = "GITLAB", url = "https://gitlab.com/example/lab", branch = "v2", token_secret_id = "ocid1.vaultsecret.oc1..l" },
      { name = "own", source = "HOSTED", url = "https://devops.example.com/own", repository_id = "ocid1.devopsrepository.oc1..r" },
    ]
  }
  assert {
    condition     = [for item in oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items : "${item.name} ${item.connection_type} ${item.branch}"] == ["source DEVOPS_CODE_REPOSITORY main", "tools GITHUB main", "lab GITLAB v2", "own DEVOPS_CODE_REPOSITORY main"]
    error_message = "the build gets all of them after its own"
  }
  assert {
    condition = (
      oci_devops_build_pipeline_stage.build[0].primary_build_source == "source" &&
      oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items[1].connection_id == oci_devops_connection.more["tools"].id &&
      oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items[2].connection_id == oci_devops_connection.more["lab"].id &&
      oci_devops_build_pipeline_stage.build[0].build_source_collection[0].items[3].repository_id == "ocid1.devopsrepository.oc1..r"
    )
    error_message = "each is read through what it names, and build_spec.yaml is the first one's"
  }
  assert {
    condition     = { for name, c in oci_devops_connection.more : name => "${c.connection_type} ${c.access_token}" } == { tools = "GITHUB_ACCESS_TOKEN ocid1.vaultsecret.oc1..g", lab = "GITLAB_ACCESS_TOKEN ocid1.vaultsecret.oc1..l" }
    error_message = "each host has a connection with its token's secret"
  }
}

run "more_sources_without_a_build" {
  variables {
    more_sources = [{ name = "tools", source = "GITHUB", url = "https://github.com/example/tools", token_secret_id = "ocid1.vaultsecret.oc1..g" }]
  }
  assert {
    condition     = length(oci_devops_connection.more) == 0
    error_message = "who does not build reads nothing"
  }
}

run "prod_deploys_a_digest_after_approval" {
  variables {
    environment = "prod"
    approvals   = 2
  }
  assert {
    condition     = output.deploy_stages == ["MANUAL_APPROVAL", "DEPLOY_FUNCTION", "INVOKE_FUNCTION"]
    error_message = "prod has an approval stage"
  }
  assert {
    condition = (
      oci_devops_deploy_stage.approval[0].deploy_stage_predecessor_collection[0].items[0].id == oci_devops_deploy_pipeline.this.id &&
      oci_devops_deploy_stage.deploy[0].deploy_stage_predecessor_collection[0].items[0].id == oci_devops_deploy_stage.approval[0].id &&
      oci_devops_deploy_stage.check[0].deploy_stage_predecessor_collection[0].items[0].id == oci_devops_deploy_stage.deploy[0].id
    )
    error_message = "nothing is deployed before the approval"
  }
  assert {
    condition     = oci_devops_deploy_stage.approval[0].approval_policy[0].number_of_approvals_required == 2 && oci_devops_deploy_stage.approval[0].approval_policy[0].approval_policy_type == "COUNT_BASED_APPROVAL"
    error_message = "as many approvals as asked"
  }
  assert {
    condition     = oci_devops_deploy_artifact.image.deploy_artifact_source[0].image_digest == "$${IMAGE_DIGEST}" && [for item in oci_devops_deploy_pipeline.this.deploy_pipeline_parameters[0].items : item.name] == ["IMAGE_TAG", "IMAGE_DIGEST"]
    error_message = "what is deployed is a digest"
  }
  assert {
    condition     = length(oci_devops_build_pipeline.this) == 0 && length(oci_devops_repository.this) == 0 && length(oci_devops_trigger.push) == 0
    error_message = "prod builds nothing"
  }
}

run "stages_have_what_their_types_require" {
  assert {
    condition     = oci_devops_deploy_stage.deploy[0].docker_image_deploy_artifact_id == oci_devops_deploy_artifact.image.id && oci_devops_deploy_stage.deploy[0].function_deploy_environment_id == oci_devops_deploy_environment.function[0].id
    error_message = "DEPLOY_FUNCTION needs an image and an environment"
  }
  assert {
    condition     = oci_devops_deploy_environment.function[0].deploy_environment_type == "FUNCTION" && oci_devops_deploy_environment.function[0].function_id == "ocid1.fnfunc.oc1..f"
    error_message = "the environment is the function"
  }
  assert {
    condition     = oci_devops_deploy_stage.check[0].is_async == false && oci_devops_deploy_stage.check[0].is_validation_enabled && oci_devops_deploy_stage.check[0].function_deploy_environment_id == oci_devops_deploy_environment.function[0].id
    error_message = "INVOKE_FUNCTION needs an environment, is_async and is_validation_enabled"
  }
  assert {
    condition     = jsondecode(oci_devops_deploy_artifact.check.deploy_artifact_source[0].base64encoded_content) == { action = "probe", verdict = true } && oci_devops_deploy_stage.check[0].deploy_artifact_id == oci_devops_deploy_artifact.check.id
    error_message = "the check asks for a verdict, encoded once: by the provider"
  }
}

run "before_the_first_image" {
  variables {
    build           = true
    function_exists = false
    function_id     = null
  }
  assert {
    condition     = length(oci_devops_build_pipeline_stage.build) == 1 && length(oci_devops_build_pipeline_stage.deploy) == 0 && length(oci_devops_deploy_stage.deploy) == 0
    error_message = "the image is built and delivered, and not deployed yet"
  }
}

run "refuses_prod_without_approval" {
  command = plan
  variables {
    environment = "prod"
    approvals   = 0
  }
  expect_failures = [oci_devops_deploy_pipeline.this]
}

run "refuses_a_build_in_prod" {
  command = plan
  variables {
    environment = "prod"
    approvals   = 1
    build       = true
  }
  expect_failures = [oci_devops_deploy_pipeline.this]
}

run "refuses_a_token" {
  command = plan
  variables {
    build      = true
    repository = { source = "GITLAB", url = "https://gitlab.com/example/cemli-executor", token_secret_id = "glpat-0123456789" }
  }
  expect_failures = [var.repository]
}

# docs.oracle.com, CreateBitbucketCloudAppPasswordConnectionDetails: at most 30 characters.
run "refuses_an_address_for_bitbucket" {
  command = plan
  variables {
    build      = true
    repository = { source = "BITBUCKET", url = "https://bitbucket.org/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t", username = "somebody@example.com" }
  }
  expect_failures = [var.repository]
}

run "refuses_bitbucket_without_a_mirror" {
  command = plan
  variables {
    build      = true
    repository = { source = "BITBUCKET", mirror = false, url = "https://bitbucket.org/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t", username = "example" }
  }
  expect_failures = [var.repository]
}

run "refuses_a_hosted_repository_without_a_mirror" {
  command = plan
  variables {
    build      = true
    repository = { mirror = false }
  }
  expect_failures = [var.repository]
}

run "refuses_a_token_in_an_address" {
  command = plan
  variables {
    build      = true
    repository = { source = "GITHUB", mirror = false, url = "https://me${"@"}github.com/example/cemli-executor", token_secret_id = "ocid1.vaultsecret.oc1..t" }
  }
  expect_failures = [var.repository]
}

run "refuses_a_token_of_another_source" {
  command = plan
  variables {
    build        = true
    more_sources = [{ name = "tools", source = "GITHUB", url = "https://github.com/example/tools", token_secret_id = "ghp_0123" }]
  }
  expect_failures = [var.more_sources]
}

run "refuses_two_sources_of_a_name" {
  command = plan
  variables {
    build = true
    more_sources = [
      { name = "tools", source = "GITHUB", url = "https://github.com/example/tools", token_secret_id = "ocid1.vaultsecret.oc1..g" },
      { name = "tools", source = "GITLAB", url = "https://gitlab.com/example/tools", token_secret_id = "ocid1.vaultsecret.oc1..g" },
    ]
  }
  expect_failures = [var.more_sources]
}

run "refuses_a_second_first_source" {
  command = plan
  variables {
    build        = true
    more_sources = [{ name = "source", source = "HOSTED", url = "https://devops.example.com/own", repository_id = "ocid1.devopsrepository.oc1..r" }]
  }
  expect_failures = [var.more_sources]
}

run "refuses_a_hosted_source_without_its_repository" {
  command = plan
  variables {
    build        = true
    more_sources = [{ name = "own", source = "HOSTED", url = "https://devops.example.com/own" }]
  }
  expect_failures = [var.more_sources]
}

run "runners_first" {
  variables {
    environment = "prod"
    approvals   = 1
    runners     = { default = "ocid1.fnfunc.oc1..r", finance = "ocid1.fnfunc.oc1..g" }
  }
  assert {
    condition     = { for label, e in oci_devops_deploy_environment.runner : label => "${e.deploy_environment_type} ${e.function_id}" } == { default = "FUNCTION ocid1.fnfunc.oc1..r", finance = "FUNCTION ocid1.fnfunc.oc1..g" }
    error_message = "each runner is an environment"
  }
  assert {
    condition     = output.deploy_stages == ["MANUAL_APPROVAL", "DEPLOY_FUNCTION", "DEPLOY_FUNCTION", "DEPLOY_FUNCTION", "INVOKE_FUNCTION"]
    error_message = "approval, two runners, the function, its verdict"
  }
  assert {
    condition = alltrue([for label, stage in oci_devops_deploy_stage.runner :
      stage.deploy_stage_predecessor_collection[0].items[0].id == oci_devops_deploy_stage.approval[0].id && stage.docker_image_deploy_artifact_id == oci_devops_deploy_artifact.image.id && stage.function_deploy_environment_id == oci_devops_deploy_environment.runner[label].id
    ])
    error_message = "runners get the image after the approval"
  }
  assert {
    condition     = toset([for item in oci_devops_deploy_stage.deploy[0].deploy_stage_predecessor_collection[0].items : item.id]) == toset([for stage in oci_devops_deploy_stage.runner : stage.id])
    error_message = "and the function only when all of them have it"
  }
  assert {
    condition     = oci_devops_deploy_stage.check[0].deploy_stage_predecessor_collection[0].items[0].id == oci_devops_deploy_stage.deploy[0].id && oci_devops_deploy_stage.check[0].function_deploy_environment_id == oci_devops_deploy_environment.function[0].id
    error_message = "the function says whether all works"
  }
}

run "no_runner_before_the_first_image" {
  variables {
    function_exists = false
    function_id     = null
    runners         = { default = null }
  }
  assert {
    condition     = length(oci_devops_deploy_stage.runner) == 0 && output.deploy_stages == []
    error_message = "there is nothing to deploy to"
  }
}
