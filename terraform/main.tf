# One environment: run with environments/NAME.tfvars and a state of its own, or as one
# Resource Manager stack each.

locals {
  home_region = var.home_region == "" ? var.region : var.home_region
  prefix      = "cemli-${var.environment}"

  tags = {
    App         = "cemli-executor"
    Environment = var.environment
    Owner       = var.owner
    CostCenter  = var.cost_center
  }

  # null and not an empty map, which would take away the tags that a tenancy sets by default.
  defined_tags = length(var.defined_tags) == 0 ? null : var.defined_tags

  compartment_id = var.create_compartment ? module.compartment[0].id : var.compartment_ocid

  # As long as there is no image there is no function, and nothing that needs one. That is
  # said, and not taken from whether an image is named: an apply that names none would
  # otherwise destroy the function with all that runs it.
  has_function = var.create_function

  # By label, and as the function is told of them, the default first. Without any scripts run
  # in the function itself.
  runners        = var.apart ? var.runners : {}
  apart          = length(local.runners) > 0
  default_runner = coalesce(var.default_runner, contains(keys(local.runners), "default") ? "default" : try(keys(local.runners)[0], "none"))
  labels         = concat([for label in keys(local.runners) : label if label == local.default_runner], [for label in keys(local.runners) : label if label != local.default_runner])

  # Not below the environment's own, since what is granted there holds below it, too.
  create_runners_compartment = local.apart && var.runners_compartment_ocid == ""
  runners_compartment_id     = local.create_runners_compartment ? module.runners_compartment[0].id : (local.apart ? var.runners_compartment_ocid : null)

  # Those that bring no subnets get one of the created network.
  runner_subnets = { for label, runner in local.runners : label => {
    cidr   = runner.cidr
    egress = runner.egress == null ? var.egress : runner.egress
  } if length(runner.subnet_ocids) == 0 }

  vault_id               = var.create_vault ? module.vault[0].vault_id : (var.vault_id == "" ? null : var.vault_id)
  secrets_compartment_id = var.create_vault ? local.compartment_id : (var.secrets_compartment_ocid == "" ? null : var.secrets_compartment_ocid)
  storage_key_id         = var.create_vault && var.storage_key ? module.vault[0].storage_key_id : (var.storage_key_id == "" ? null : var.storage_key_id)

  namespace  = data.oci_objectstorage_namespace.this.namespace
  image_path = "ocir.${var.region}.oci.oraclecloud.com/${local.namespace}/${var.image_repository}"
}

# Another environment's variables in this workspace would replace everything in it.
resource "terraform_data" "workspace" {
  input = terraform.workspace

  lifecycle {
    precondition {
      condition     = contains(["default", var.environment], terraform.workspace)
      error_message = "The workspace is ${terraform.workspace}, and the variables are for ${var.environment}: select the environment's own workspace."
    }
    # A schedule may start late.
    precondition {
      condition     = var.silence_hours * 60 >= 2 * var.sweep_minutes
      error_message = "The alarm on silence would fire between two sweeps: silence_hours is at least twice sweep_minutes."
    }
    precondition {
      condition     = !local.apart || contains(keys(local.runners), local.default_runner)
      error_message = "default_runner is ${var.default_runner}, which is no label of runners."
    }
    # Below the tenancy all others are.
    precondition {
      condition     = !local.create_runners_compartment || var.create_compartment || !startswith(var.compartment_ocid, "ocid1.tenancy.")
      error_message = "The environment is in the tenancy itself, and no compartment is beside it: what it grants would hold for runners, too. Use create_compartment=true."
    }
    precondition {
      condition     = length(var.subnet_ocids) == 0 || length(local.runner_subnets) == 0
      error_message = "With subnets that exist each runner has subnet_ocids of its own; missing: ${join(", ", keys(local.runner_subnets))}."
    }
    precondition {
      condition     = length(setintersection(var.subnet_ocids, flatten(values(local.runners)[*].subnet_ocids))) == 0
      error_message = "A runner is in a subnet of the executor's: it has one of its own."
    }
    # A runner refuses a job that it could not finish.
    precondition {
      condition = alltrue([for runner in values(local.runners) :
        coalesce(runner.timeout_seconds, 300) >= var.function_timeout_seconds && coalesce(runner.detached_timeout_seconds, 3600) >= var.function_detached_timeout_seconds
      ])
      error_message = "A runner has less time than the executor, and would refuse its jobs: timeout_seconds and detached_timeout_seconds are at least function_timeout_seconds and function_detached_timeout_seconds."
    }
  }
}

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_ocid
}

module "compartment" {
  source = "./modules/compartment"
  count  = var.create_compartment ? 1 : 0
  providers = {
    oci = oci.home
  }

  parent_id    = var.compartment_ocid
  name         = local.prefix
  description  = "cemli-executor, ${var.environment}"
  tags         = local.tags
  defined_tags = local.defined_tags
}

# Its parent is where the environment's compartment is.
data "oci_identity_compartment" "environment" {
  count    = local.create_runners_compartment && !var.create_compartment ? 1 : 0
  provider = oci.home

  id = var.compartment_ocid
}

module "runners_compartment" {
  source = "./modules/compartment"
  count  = local.create_runners_compartment ? 1 : 0
  providers = {
    oci = oci.home
  }

  parent_id    = var.create_compartment ? var.compartment_ocid : data.oci_identity_compartment.environment[0].compartment_id
  name         = "${local.prefix}-runners"
  description  = "cemli-executor, ${var.environment}: functions that run scripts, and are granted nothing"
  tags         = local.tags
  defined_tags = local.defined_tags
}

module "network" {
  source = "./modules/network"
  count  = length(var.subnet_ocids) == 0 ? 1 : 0

  compartment_id = local.compartment_id
  name           = local.prefix
  cidr           = var.network_cidr
  nat_gateway    = var.nat_gateway
  egress         = local.apart ? [] : var.egress

  runners_compartment_id = local.runners_compartment_id
  runners                = local.runner_subnets

  tags         = local.tags
  defined_tags = local.defined_tags
}

module "vault" {
  source = "./modules/vault"
  count  = var.create_vault ? 1 : 0

  compartment_id    = local.compartment_id
  environment       = var.environment
  protection_mode   = var.key_protection
  storage_key       = var.storage_key
  signing_key       = var.signing_key
  generated_secrets = var.generated_secrets
  settle_seconds    = var.settle_seconds
  tags              = local.tags
  defined_tags      = local.defined_tags
}

module "storage" {
  source = "./modules/storage"

  compartment_id         = local.compartment_id
  namespace              = local.namespace
  environment            = var.environment
  kms_key_id             = local.storage_key_id
  key_policy_ids         = module.iam.encryption_policy_ids
  lifecycle_policy_ids   = module.iam.policy_ids
  settle_seconds         = var.settle_seconds
  jobs_bucket_name       = var.jobs_bucket_name
  results_retention_days = var.results_retention_days
  results_locked_from    = var.results_locked_from == "" ? null : var.results_locked_from
  run_files_archive_days = var.run_files_archive_days
  run_files_delete_days  = var.run_files_delete_days
  state_versions_days    = var.state_versions_days
  tags                   = local.tags
  defined_tags           = local.defined_tags
}

# A function each, in an application of its own, as packages that name different ones must not meet.
module "runner" {
  source   = "./modules/runner"
  for_each = local.runners

  compartment_id             = local.runners_compartment_id
  environment                = var.environment
  label                      = each.key
  subnet_ids                 = length(each.value.subnet_ocids) == 0 ? [module.network[0].runner_subnet_ids[each.key]] : each.value.subnet_ocids
  network_security_group_ids = length(each.value.subnet_ocids) == 0 ? [module.network[0].runner_network_security_group_ids[each.key]] : each.value.network_security_group_ocids

  image_policy_ids         = module.iam.images_policy_ids
  settle_seconds           = var.settle_seconds
  create                   = local.has_function
  image                    = var.function_image
  image_digest             = var.function_image_digest == "" ? null : var.function_image_digest
  memory_mb                = coalesce(each.value.memory_mb, var.function_memory_mb)
  timeout_seconds          = coalesce(each.value.timeout_seconds, 300)
  detached_timeout_seconds = coalesce(each.value.detached_timeout_seconds, 3600)
  provisioned_concurrency  = each.value.provisioned_concurrency
  sandbox                  = each.value.sandbox
  limits                   = var.limits
  log_output               = each.value.log_output
  tags                     = local.tags
  defined_tags             = local.defined_tags
}

module "function" {
  source = "./modules/function"

  compartment_id             = local.compartment_id
  environment                = var.environment
  subnet_ids                 = length(var.subnet_ocids) == 0 ? [module.network[0].subnet_id] : var.subnet_ocids
  network_security_group_ids = length(var.subnet_ocids) == 0 ? [module.network[0].network_security_group_id] : var.network_security_group_ocids

  image_policy_ids         = module.iam.images_policy_ids
  settle_seconds           = var.settle_seconds
  create                   = local.has_function
  image                    = var.function_image
  image_digest             = var.function_image_digest == "" ? null : var.function_image_digest
  memory_mb                = var.function_memory_mb
  timeout_seconds          = var.function_timeout_seconds
  detached_timeout_seconds = var.function_detached_timeout_seconds
  provisioned_concurrency  = var.provisioned_concurrency

  packages_bucket         = module.storage.packages_bucket
  results_bucket          = module.storage.results_bucket
  state_bucket            = module.storage.state_bucket
  policy                  = var.policy_object == "" ? "" : "${module.storage.policies_bucket}/${var.policy_object}"
  vault_id                = local.vault_id
  topic_id                = module.observability.runs_topic_id
  failure_topic_id        = module.observability.failures_topic_id
  notify                  = var.notify
  notify_detached_success = var.notify_detached_success
  log_level               = var.log_level
  log_output              = var.log_output
  keep_packages           = var.keep_packages
  trust_subject           = var.trust_subject
  write_log               = var.record_uploaders ? module.observability.write_log : null
  reserve                 = var.reserve
  limits                  = var.limits

  apart                       = local.apart
  runner                      = local.apart && local.has_function ? join(",", [for label in local.labels : "${label}=function:${module.runner[label].function_id}"]) : null
  jobs_bucket                 = module.storage.jobs_bucket
  accept_readable_credentials = var.accept_readable_credentials
  tags                        = local.tags
  defined_tags                = local.defined_tags
}

module "events" {
  source = "./modules/events"
  count  = local.has_function ? 1 : 0

  compartment_id  = local.compartment_id
  environment     = var.environment
  packages_bucket = module.storage.packages_bucket
  function_id     = module.function.function_id
  enabled         = var.uploads_run
  triggers        = var.package_triggers
  tags            = local.tags
  defined_tags    = local.defined_tags
}

# Always, so that what it is given is checked before there is a function, too.
module "schedules" {
  source = "./modules/schedules"

  create         = local.has_function
  compartment_id = local.compartment_id
  environment    = var.environment
  function_id    = module.function.function_id
  sweep_minutes  = var.sweep_minutes
  enabled        = var.uploads_run
  packages       = var.scheduled_packages
  tags           = local.tags
  defined_tags   = local.defined_tags
}

moved {
  from = module.schedules[0]
  to   = module.schedules
}

module "observability" {
  source = "./modules/observability"

  compartment_id         = local.compartment_id
  tenancy_id             = local.home_region == var.region ? var.tenancy_ocid : null
  environment            = var.environment
  application_id         = module.function.application_id
  alarms                 = local.has_function
  function_id            = module.function.function_id
  packages_bucket        = module.storage.packages_bucket
  jobs_bucket            = local.apart ? module.storage.jobs_bucket : null
  runners_compartment_id = local.runners_compartment_id
  runners                = { for label, runner in module.runner : label => { application_id = runner.application_id, function_id = runner.function_id } }
  deploys                = var.create_devops
  devops_project_id      = one(module.devops[*].project_id)
  log_retention_days     = var.log_retention_days
  silence_hours          = var.sweep_minutes == 0 ? 0 : var.silence_hours
  run_emails             = var.run_emails
  failure_emails         = var.failure_emails
  failure_urls           = var.failure_urls
  failure_pagerduty_urls = var.failure_pagerduty_urls
  tags                   = local.tags
  defined_tags           = local.defined_tags
}

# Where images are pushed: by this environment's build, or without DevOps by hand.
module "registry" {
  source = "./modules/registry"
  count  = (var.create_devops ? var.build : var.images_compartment_ocid == "") ? 1 : 0

  compartment_id = local.compartment_id
  name           = var.image_repository
  tags           = local.tags
  defined_tags   = local.defined_tags
}

moved {
  from = module.devops[0].oci_artifacts_container_repository.image[0]
  to   = module.registry[0].oci_artifacts_container_repository.image
}

module "devops" {
  source = "./modules/devops"
  count  = var.create_devops ? 1 : 0

  compartment_id  = local.compartment_id
  environment     = var.environment
  topic_id        = module.observability.failures_topic_id
  function_exists = local.has_function
  function_id     = module.function.function_id
  runners         = { for label, runner in module.runner : label => runner.function_id }
  image_path      = local.image_path
  approvals       = var.approvals
  build           = var.build
  repository = {
    source          = var.repository_source
    branch          = var.repository_branch
    url             = var.repository_url == "" ? null : var.repository_url
    username        = var.repository_username == "" ? null : var.repository_username
    token_secret_id = var.repository_token_secret_id == "" ? null : var.repository_token_secret_id
    mirror          = var.repository_mirror
    mirror_schedule = var.repository_mirror_schedule
    trigger         = var.repository_trigger
  }
  more_sources     = var.build_sources
  build_parameters = var.build_parameters
  files            = var.build_files
  tags             = local.tags
  defined_tags     = local.defined_tags
}

module "iam" {
  source = "./modules/iam"
  providers = {
    oci = oci.home
  }

  create         = var.create_iam
  tenancy_id     = var.tenancy_ocid
  compartment_id = local.compartment_id
  environment    = var.environment
  region         = var.region
  deploys        = var.create_devops
  builds         = local.builds
  mirrors        = local.builds && var.repository_source != "HOSTED" && var.repository_mirror
  connects       = local.builds && length(local.tokens) > 0

  images_compartment_id = var.create_devops && var.build ? local.compartment_id : (var.images_compartment_ocid == "" ? local.compartment_id : var.images_compartment_ocid)
  image_repository      = var.image_repository

  encrypts            = var.create_vault && var.storage_key || var.storage_key_id != ""
  storage_key_id      = local.storage_key_id
  keys_compartment_id = local.secrets_compartment_id

  groups = {
    authors   = var.authors_group == "" ? null : var.authors_group
    promotion = var.promotion_group == "" ? null : var.promotion_group
    approvers = var.approvers_group == "" ? null : var.approvers_group
    operators = var.operators_group == "" ? null : var.operators_group
    policies  = var.policies_group == "" ? null : var.policies_group
    auditors  = var.auditors_group == "" ? null : var.auditors_group
  }
  runner_function_ids = local.has_function ? [for runner in module.runner : runner.function_id] : []
  values = {
    packages_bucket          = module.storage.packages_bucket
    results_bucket           = module.storage.results_bucket
    state_bucket             = module.storage.state_bucket
    policies_bucket          = module.storage.policies_bucket
    lifecycle_results_bucket = var.run_files_archive_days + var.run_files_delete_days > 0 ? module.storage.results_bucket : null
    secrets_compartment_id   = local.secrets_compartment_id
    token_secret_id          = var.repository_token_secret_id == "" ? null : var.repository_token_secret_id
    token_secrets            = local.builds && length(local.tokens) > 0 ? join(", ", [for id in local.tokens : "target.secret.id='${id}'"]) : null
    build_secrets            = local.builds && length(local.build_secrets) > 0 ? join(", ", [for id in local.build_secrets : "target.secret.id='${id}'"]) : null
    topic_id                 = module.observability.runs_topic_id
    failure_topic_id         = module.observability.failures_topic_id
    audit_compartment_id     = local.home_region == var.region ? var.tenancy_ocid : null
    function_id              = module.function.function_id
    schedules                = local.has_schedules ? join(", ", [for id in local.schedule_ids : "request.principal.id='${id}'"]) : null
    event_compartments       = local.has_function && length(local.event_compartments) > 0 ? join(", ", [for id in local.event_compartments : "request.principal.compartment.id='${id}'"]) : null
    metric_namespace         = module.observability.metric_namespace
    log_group_id             = module.observability.log_group_id
    uploads_log_group_id     = module.observability.uploads_log_group_id
    write_log_group_id       = var.record_uploaders ? module.observability.uploads_log_group_id : null
    runner_log_group_id      = module.observability.runner_log_group_id
    runner_compartment_id    = local.runners_compartment_id
    jobs_bucket              = local.apart ? module.storage.jobs_bucket : null
    lifecycle_jobs_bucket    = module.storage.jobs_bucket
  }
  tags         = local.tags
  defined_tags = local.defined_tags
}

locals {
  has_schedules = local.has_function && (var.sweep_minutes > 0 || length(var.scheduled_packages) > 0)
  schedule_ids  = module.schedules.schedule_ids

  # Of rules that are not in this environment's own.
  event_compartments = distinct(compact([for trigger in values(var.package_triggers) : trigger.compartment_ocid]))

  builds = var.create_devops && var.build
  # A mirror's token is none of the build's business: the repository reads it.
  main_token    = var.repository_source == "HOSTED" || var.repository_token_secret_id == "" ? [] : [var.repository_token_secret_id]
  more_tokens   = [for source in var.build_sources : source.token_secret_id if source.token_secret_id != null]
  tokens        = distinct(concat(local.main_token, local.more_tokens))
  build_secrets = distinct(concat(var.repository_mirror ? [] : local.main_token, local.more_tokens, var.build_secret_ids))
}
