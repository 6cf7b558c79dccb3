# Where

variable "tenancy_ocid" {
  description = "OCID of the tenancy."
  type        = string

  validation {
    condition     = can(regex("^ocid1\\.tenancy\\.", var.tenancy_ocid))
    error_message = "tenancy_ocid is the OCID of a tenancy."
  }
}

variable "region" {
  description = "Region, such as eu-frankfurt-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,3}-[a-z]+-[0-9]+$", var.region))
    error_message = "region is a name such as eu-frankfurt-1."
  }
}

variable "home_region" {
  description = "The tenancy's home region, where IAM is written; empty: the same."
  type        = string
  default     = ""

  validation {
    condition     = var.home_region == "" || can(regex("^[a-z]{2,3}-[a-z]+-[0-9]+$", var.home_region))
    error_message = "home_region is a name such as eu-frankfurt-1, or empty."
  }
}

variable "compartment_ocid" {
  description = "OCID of the compartment for this environment and nothing else; or of the one to create it in."
  type        = string

  validation {
    condition     = can(regex("^ocid1\\.(compartment|tenancy)\\.", var.compartment_ocid))
    error_message = "compartment_ocid is the OCID of a compartment, or of the tenancy."
  }
}

variable "create_compartment" {
  description = "Whether a compartment of its own is created in compartment_ocid."
  type        = bool
  default     = false
}

# Environment

variable "environment" {
  description = "Name of the environment: dev, test, prod or one of your own. prod is treated more strictly."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,14}$", var.environment))
    error_message = "environment has 2 to 15 lower-case letters and digits, a letter first."
  }
}

variable "owner" {
  description = "Team that answers for it, a tag on everything."
  type        = string

  validation {
    condition     = can(regex("^[^\n]{1,256}$", var.owner))
    error_message = "owner is a line of text."
  }
}

variable "cost_center" {
  description = "Who pays, a tag on everything."
  type        = string

  validation {
    condition     = can(regex("^[^\n]{1,256}$", var.cost_center))
    error_message = "cost_center is a line of text."
  }
}

variable "defined_tags" {
  description = "Defined tags on everything beside the free-form ones, as NAMESPACE.KEY and value; the namespaces exist."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.defined_tags) : can(regex("^[^. ]+[.][^. ]+$", name))])
    error_message = "Defined tags are named NAMESPACE.KEY, such as Finance.CostCenter."
  }
}

# Network

variable "subnet_ocids" {
  description = "OCIDs of existing subnets for the function; empty: a network is created."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ocids : startswith(id, "ocid1.subnet.")])
    error_message = "Each is the OCID of a subnet."
  }
}

variable "network_security_group_ocids" {
  description = "OCIDs of the network security groups of existing subnets."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.network_security_group_ocids : startswith(id, "ocid1.networksecuritygroup.")])
    error_message = "Each is the OCID of a network security group."
  }
}

variable "network_cidr" {
  description = "Addresses of the created network."
  type        = string
  default     = "10.0.0.0/24"

  validation {
    condition     = can(cidrhost(var.network_cidr, 0))
    error_message = "network_cidr is an IPv4 block such as 10.0.0.0/24."
  }
}

variable "nat_gateway" {
  description = "Whether the allow-list names hosts outside Oracle's network."
  type        = bool
  default     = false
}

variable "egress" {
  description = "What scripts may connect to: TCP, one port each. Besides that a runner reaches Object Storage, and scripts in the function Oracle's services."
  type = list(object({
    cidr        = string
    port        = number
    description = string
  }))
  default = []
}

# Storage

variable "jobs_bucket_name" {
  description = "Name of the bucket for the mailboxes of jobs; empty: cemli-ENVIRONMENT-jobs."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{0,256}$", var.jobs_bucket_name))
    error_message = "jobs_bucket_name has letters, digits, dots, hyphens and underscores."
  }
}

variable "results_retention_days" {
  description = "How long nobody can change or delete evidence."
  type        = number

  validation {
    condition     = var.results_retention_days >= 1
    error_message = "results_retention_days is at least 1."
  }
}

variable "results_locked_from" {
  description = "Time (RFC 3339, at least 14 days ahead) from which nobody can shorten that, for good; empty: never locked."
  type        = string
  default     = ""

  validation {
    condition     = var.results_locked_from == "" || can(formatdate("YYYY", var.results_locked_from))
    error_message = "results_locked_from is a time such as 2030-01-31T00:00:00Z, or empty."
  }
}

variable "run_files_archive_days" {
  description = "Age at which artifacts and logs of runs are archived; 0: never."
  type        = number
  default     = 0

  validation {
    condition     = var.run_files_archive_days >= 0
    error_message = "run_files_archive_days is 0 or more."
  }
}

variable "run_files_delete_days" {
  description = "Age at which artifacts and logs of runs are deleted, more than the retention; 0: never. Results stay."
  type        = number
  default     = 0

  validation {
    condition     = var.run_files_delete_days >= 0
    error_message = "run_files_delete_days is 0 or more."
  }
}

variable "state_versions_days" {
  description = "How long a damaged state record can be restored."
  type        = number
  default     = 30

  validation {
    condition     = var.state_versions_days >= 1
    error_message = "state_versions_days is at least 1."
  }
}

# Vault

variable "create_vault" {
  description = "Whether a vault for secrets and keys is created."
  type        = bool
  default     = false
}

variable "vault_id" {
  description = "OCID of an existing vault for secrets by name; empty: none."
  type        = string
  default     = ""

  validation {
    condition     = var.vault_id == "" || startswith(var.vault_id, "ocid1.vault.")
    error_message = "vault_id is the OCID of a vault."
  }
}

variable "secrets_compartment_ocid" {
  description = "OCID of the compartment of the existing vault's secrets and keys: the function reads every secret there. Empty: none."
  type        = string
  default     = ""

  validation {
    condition     = var.secrets_compartment_ocid == "" || can(regex("^ocid1\\.(compartment|tenancy)\\.", var.secrets_compartment_ocid))
    error_message = "secrets_compartment_ocid is the OCID of a compartment."
  }
}

variable "key_protection" {
  description = "SOFTWARE or HSM."
  type        = string
  default     = "SOFTWARE"

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.key_protection)
    error_message = "key_protection is SOFTWARE or HSM."
  }
}

variable "storage_key" {
  description = "Whether the buckets are encrypted with a key of the created vault."
  type        = bool
  default     = false
}

variable "storage_key_id" {
  description = "OCID of an existing key, in secrets_compartment_ocid; empty: a key of Oracle's."
  type        = string
  default     = ""

  validation {
    condition     = var.storage_key_id == "" || startswith(var.storage_key_id, "ocid1.key.")
    error_message = "storage_key_id is the OCID of a key."
  }
}

variable "signing_key" {
  description = "Whether there is a key for signatures, which the function does not make yet."
  type        = bool
  default     = false
}

variable "generated_secrets" {
  description = "Names of secrets whose values OCI makes up."
  type        = set(string)
  default     = []
}

# Function

variable "create_function" {
  description = "Whether there is a function, with its rule, schedules and alarms; false as long as there is no image."
  type        = bool
  default     = true
}

variable "function_image" {
  description = "The image with its tag that the function is created with. Later ones come from the deployment pipeline, and an apply that names none leaves the function's as it is."
  type        = string
  default     = ""

  validation {
    condition     = var.function_image == "" || can(regex("^[^@]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.function_image))
    error_message = "function_image ends in :TAG."
  }
}

variable "function_image_digest" {
  description = "Digest of the first image, sha256:…; empty: whatever the tag names."
  type        = string
  default     = ""

  validation {
    condition     = var.function_image_digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.function_image_digest))
    error_message = "function_image_digest is sha256: and 64 hexadecimal digits."
  }
}

variable "function_memory_mb" {
  description = "Memory; a quarter of it is /tmp."
  type        = number
  default     = 512

  validation {
    condition     = contains([128, 256, 512, 1024, 2048, 3072], var.function_memory_mb)
    error_message = "function_memory_mb is one of 128, 256, 512, 1024, 2048, 3072."
  }
}

variable "function_timeout_seconds" {
  description = "Time of an invocation that its caller waits for, 30 to 300."
  type        = number
  default     = 300

  validation {
    condition     = var.function_timeout_seconds >= 30 && var.function_timeout_seconds <= 300
    error_message = "function_timeout_seconds is from 30 to 300."
  }
}

variable "function_detached_timeout_seconds" {
  description = "Time of an invocation that nobody waits for, 5 to 3600."
  type        = number
  default     = 3600

  validation {
    condition     = var.function_detached_timeout_seconds >= 5 && var.function_detached_timeout_seconds <= 3600
    error_message = "function_detached_timeout_seconds is from 5 to 3600."
  }
}

variable "provisioned_concurrency" {
  description = "Instances that are kept warm and paid for; 0: none."
  type        = number
  default     = 0

  validation {
    condition     = var.provisioned_concurrency >= 0
    error_message = "provisioned_concurrency is 0 or more."
  }
}

variable "policy_object" {
  description = "Name of the admission policy in the policies bucket, such as prod.json; empty: everything valid is admitted, which prod does not allow."
  type        = string
  default     = ""

  validation {
    condition     = !startswith(var.policy_object, "/")
    error_message = "policy_object is an object's name."
  }
}

variable "accept_readable_credentials" {
  description = "Only where scripts run in the function itself (apart=false), and then without a default, as it is a decision: whether they may although they can read its credentials. With false nothing runs where the kernel of OCI Functions has no Landlock; the probe tells."
  type        = bool
  default     = null
}

variable "apart" {
  description = "Whether scripts run in runners, functions that are granted nothing; false: in the function itself, whose credentials are there."
  type        = bool
  default     = true
}

variable "runners" {
  description = "The runners, by label; none: as with apart=false. Several for packages that must not meet: a package names one by runs_on, and the policy's runners say which may. Memory is the function's unless it is said. Without egress a runner has that of the environment; with subnets that exist it has some of its own."
  type = map(object({
    memory_mb                = optional(number)
    timeout_seconds          = optional(number)
    detached_timeout_seconds = optional(number)
    provisioned_concurrency  = optional(number, 0)
    sandbox                  = optional(string, "")
    log_output               = optional(string, "")
    cidr                     = optional(string, "10.0.1.0/24")
    egress = optional(list(object({
      cidr        = string
      port        = number
      description = string
    })))
    subnet_ocids                 = optional(list(string), [])
    network_security_group_ocids = optional(list(string), [])
  }))
  default = { default = {} }

  validation {
    condition     = alltrue([for label in keys(var.runners) : can(regex("^[a-z0-9-]{1,32}$", label))])
    error_message = "A label has 1 to 32 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for id in flatten(values(var.runners)[*].subnet_ocids) : startswith(id, "ocid1.subnet.")])
    error_message = "Each of subnet_ocids is the OCID of a subnet."
  }
}

variable "default_runner" {
  description = "Label of the runner for packages that name none; empty: default, or the first."
  type        = string
  default     = ""
}

variable "runners_compartment_ocid" {
  description = "OCID of an existing compartment for runners and nothing else, not below the environment's; empty: one is created beside that."
  type        = string
  default     = ""

  validation {
    condition     = var.runners_compartment_ocid == "" || startswith(var.runners_compartment_ocid, "ocid1.compartment.")
    error_message = "runners_compartment_ocid is the OCID of a compartment."
  }
}

variable "notify" {
  description = "Which runs are announced: all or failures; empty: all."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "all", "failures"], var.notify)
    error_message = "notify is all, failures or empty."
  }
}

variable "notify_detached_success" {
  description = "Whether detached invocations that succeeded are reported too."
  type        = bool
  default     = false
}

variable "log_level" {
  description = "debug or info; empty: info."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "debug", "info"], var.log_level)
    error_message = "log_level is debug, info or empty."
  }
}

variable "log_output" {
  description = "all, tail or none; empty: all."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "all", "tail", "none"], var.log_output)
    error_message = "log_output is all, tail, none or empty."
  }
}

variable "keep_packages" {
  description = "Keep a copy of what is applied, and of the policies, in the results bucket, so that going back does not depend on the packages bucket."
  type        = bool
  default     = true
}

variable "trust_subject" {
  description = "Whether results call who signed an invocation verified. Find out first that OCI Functions lets no caller write that itself: docs/operations/README.md says how."
  type        = bool
  default     = false
}

variable "record_uploaders" {
  description = "Whether the evidence of each run says who uploaded its package, by the packages bucket's write log, which the function may read then."
  type        = bool
  default     = true
}

variable "reserve" {
  description = "Time of an invocation that is kept for the evidence, such as 15s; empty: the function's default."
  type        = string
  default     = ""

  validation {
    condition     = var.reserve == "" || can(regex("^([0-9]+(ms|s|m|h))+$", var.reserve))
    error_message = "reserve is a duration such as 15s."
  }
}

variable "limits" {
  description = "Limits that replace the function's defaults."
  type = object({
    package_bytes  = optional(number)
    entries        = optional(number)
    file_bytes     = optional(number)
    total_bytes    = optional(number)
    ratio          = optional(number)
    log_bytes      = optional(number)
    artifacts      = optional(number)
    artifact_bytes = optional(number)
    run_time       = optional(string)
    attempts       = optional(number)
  })
  default = {}
}

# Triggers

variable "uploads_run" {
  description = "Whether uploads run; false stops the environment."
  type        = bool
  default     = true
}

variable "sweep_minutes" {
  description = "How often the function looks for what was left behind; 0: never."
  type        = number
  default     = 15

  validation {
    condition     = contains([0, 15, 20, 30, 60], var.sweep_minutes)
    error_message = "sweep_minutes is 0, 15, 20, 30 or 60."
  }
}

variable "scheduled_packages" {
  description = "Packages that run on a calendar, by a name of your own."
  type = map(object({
    object        = string
    cron          = string
    once_per      = string
    parameter_set = optional(string)
    parameters    = optional(map(string))
    reason        = optional(string)
  }))
  default = {}
}

variable "package_triggers" {
  description = "Events besides uploads that reach the function, by a name of your own; the policy's triggers say which package they start."
  type = map(object({
    event_type       = string
    resource         = string
    compartment_ocid = optional(string)
  }))
  default = {}
}

# Access

variable "settle_seconds" {
  description = "How long new policies, and the address of a new vault, are waited for; 0: not at all. OCI may need longer: then apply again."
  type        = number
  default     = 90

  validation {
    condition     = var.settle_seconds >= 0 && var.settle_seconds <= 900 && floor(var.settle_seconds) == var.settle_seconds
    error_message = "settle_seconds is from 0 to 900."
  }
}

variable "create_iam" {
  description = "Whether dynamic groups and policies are created; false: their text is the output iam_handover."
  type        = bool
  default     = true
}

variable "authors_group" {
  description = "Name of the existing group of those who upload packages; empty: none."
  type        = string
  default     = ""
}

variable "promotion_group" {
  description = "Name of the existing group that uploads what passed in the environment before, and starts deployments; empty: none."
  type        = string
  default     = ""
}

variable "approvers_group" {
  description = "Name of the existing group of those who approve deployments; empty: none."
  type        = string
  default     = ""
}

variable "operators_group" {
  description = "Name of the existing group of those who watch, run again, go back and cancel; empty: none."
  type        = string
  default     = ""
}

variable "policies_group" {
  description = "Name of the existing group of those who write the admission policy, neither authors nor approvers; empty: none."
  type        = string
  default     = ""
}

variable "auditors_group" {
  description = "Name of the existing group of those who read evidence, logs and audit; empty: none."
  type        = string
  default     = ""
}

# Operations

variable "run_emails" {
  description = "Addresses that hear of all runs."
  type        = list(string)
  default     = []
}

variable "failure_emails" {
  description = "Addresses that hear of failures, alarms, deployments and changes."
  type        = list(string)
  default     = []
}

variable "failure_urls" {
  description = "HTTPS endpoints that hear of the same."
  type        = list(string)
  default     = []
}

variable "failure_pagerduty_urls" {
  description = "PagerDuty integration URLs that hear of the same; the state has them."
  type        = list(string)
  default     = []
  sensitive   = true
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 90

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180], var.log_retention_days)
    error_message = "log_retention_days is 30, 60, 90, 120, 150 or 180."
  }
}

variable "silence_hours" {
  description = "After how many hours without an invocation an alarm fires."
  type        = number
  default     = 2

  validation {
    condition     = var.silence_hours >= 1 && var.silence_hours <= 24 && floor(var.silence_hours) == var.silence_hours
    error_message = "silence_hours is from 1 to 24, the longest interval of an alarm's query."
  }
}

# Delivery

variable "create_devops" {
  description = "Whether there is a DevOps project with a deployment pipeline."
  type        = bool
  default     = true
}

variable "build" {
  description = "Whether this environment builds the image; one of them does, never prod."
  type        = bool
  default     = false
}

variable "approvals" {
  description = "How many people have to approve a deployment, at least 1 in prod."
  type        = number
  default     = 0

  validation {
    condition     = var.approvals >= 0
    error_message = "approvals is 0 or more."
  }
}

variable "image_repository" {
  description = "Name of the container repository."
  type        = string
  default     = "cemli-executor"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/-]*$", var.image_repository))
    error_message = "image_repository has lower-case letters, digits, dots, hyphens, underscores and slashes."
  }
}

variable "images_compartment_ocid" {
  description = "OCID of the compartment of the environment that builds; empty: this one."
  type        = string
  default     = ""

  validation {
    condition     = var.images_compartment_ocid == "" || can(regex("^ocid1\\.(compartment|tenancy)\\.", var.images_compartment_ocid))
    error_message = "images_compartment_ocid is the OCID of a compartment."
  }
}

variable "repository_source" {
  description = "Where the code is: HOSTED, GITHUB, GITLAB or BITBUCKET."
  type        = string
  default     = "HOSTED"

  validation {
    condition     = contains(["HOSTED", "GITHUB", "GITLAB", "BITBUCKET"], var.repository_source)
    error_message = "repository_source is HOSTED, GITHUB, GITLAB or BITBUCKET."
  }
}

variable "repository_branch" {
  description = "Branch whose pushes are built."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]+$", var.repository_branch))
    error_message = "repository_branch is a branch's name."
  }
}

variable "repository_url" {
  description = "URL of the repository that is mirrored or read."
  type        = string
  default     = ""
}

variable "repository_username" {
  description = "Bitbucket only: the username that the API token belongs to, or x-bitbucket-api-token-auth."
  type        = string
  default     = ""
}

variable "repository_token_secret_id" {
  description = "OCID of the Vault secret with the token, never the token."
  type        = string
  default     = ""

  validation {
    condition     = var.repository_token_secret_id == "" || startswith(var.repository_token_secret_id, "ocid1.vaultsecret.")
    error_message = "repository_token_secret_id is the OCID of a secret, never the token."
  }
}

variable "repository_mirror" {
  description = "Whether the source is mirrored into DevOps; false: builds read it where it is, GitHub and GitLab only."
  type        = bool
  default     = true
}

variable "repository_trigger" {
  description = "Whether Terraform makes the trigger of a source that is read where it is. OCI tells a trigger's secret once, and not to Terraform; false: it is made by hand."
  type        = bool
  default     = true
}

variable "repository_mirror_schedule" {
  description = "When the source is mirrored, in iCal form."
  type        = string
  default     = "FREQ=MINUTELY;INTERVAL=30;"

  validation {
    condition     = startswith(var.repository_mirror_schedule, "FREQ=")
    error_message = "repository_mirror_schedule is such as FREQ=MINUTELY;INTERVAL=30;"
  }
}

variable "build_sources" {
  description = "Repositories that a build gets besides, each in the folder of its name in OCI_WORKSPACE_DIR: source GITHUB or GITLAB with url and the OCID of the secret with the token, or HOSTED with url and repository_id."
  type = list(object({
    name            = string
    source          = string
    url             = string
    branch          = optional(string, "main")
    repository_id   = optional(string)
    token_secret_id = optional(string)
  }))
  default = []
}

variable "build_secret_ids" {
  description = "OCIDs of the secrets that builds read, those of vaultVariables in build_spec.yaml; never the secrets."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.build_secret_ids : can(regex("^ocid1\\.vaultsecret\\.[a-z0-9._-]+$", id))])
    error_message = "build_secret_ids are OCIDs of secrets, never the secrets."
  }
}

variable "build_files" {
  description = "Files that a build delivers besides the image: names among outputArtifacts in build_spec.yaml, and paths to store them under."
  type        = map(string)
  default = {
    cemli-linux-amd64   = "cemli-linux-amd64"
    cemli-linux-arm64   = "cemli-linux-arm64"
    cemli-darwin-arm64  = "cemli-darwin-arm64"
    cemli-windows-amd64 = "cemli-windows-amd64.exe"
    checksums           = "SHA256SUMS"
    sbom                = "sbom.cdx.json"
  }
}

variable "build_parameters" {
  description = "Parameters of the build pipeline, variables for build_spec.yaml such as RUNTIME_IMAGE, and their values."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.build_parameters) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "Names are those of variables."
  }
}
