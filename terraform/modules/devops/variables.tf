variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "environment" {
  description = "Name of the environment that is deployed to. prod needs approvals and does not build."
  type        = string
}

variable "topic_id" {
  description = "OCID of the topic that builds, deployments and waiting approvals are announced to."
  type        = string
}

variable "function_exists" {
  description = "Whether there is a function to deploy to: not before the first image."
  type        = bool
}

variable "function_id" {
  description = "OCID of the function; null as long as there is none."
  type        = string
  default     = null
}

variable "runners" {
  description = "OCIDs of the runners, by label, which get each image before the function does."
  type        = map(string)
  default     = {}
}

variable "image_path" {
  description = "The container repository with registry and namespace, without a tag."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9.-]+/[^/:@]+/[^:@]+$", var.image_path))
    error_message = "image_path is REGISTRY/NAMESPACE/REPOSITORY."
  }
}

variable "approvals" {
  description = "How many people have to approve a deployment; 0: none."
  type        = number
  default     = 0

  validation {
    condition     = var.approvals >= 0 && floor(var.approvals) == var.approvals
    error_message = "approvals is a whole number."
  }
}

variable "build" {
  description = "Whether this environment has the repository and the build pipeline. One of them does."
  type        = bool
  default     = false
}

variable "repository" {
  description = "Where the code is: source HOSTED, or GITHUB, GITLAB, BITBUCKET with url and the OCID of the secret with the token (for Bitbucket also the username). It is mirrored on a schedule in iCal form, or with mirror=false read where it is, from GitHub and GitLab, whose pushes then start builds through a trigger, unless trigger=false."
  type = object({
    source          = optional(string, "HOSTED")
    branch          = optional(string, "main")
    url             = optional(string)
    username        = optional(string)
    token_secret_id = optional(string)
    mirror          = optional(bool, true)
    mirror_schedule = optional(string, "FREQ=MINUTELY;INTERVAL=30;")
    trigger         = optional(bool, true)
  })
  default = {}

  validation {
    condition     = contains(["HOSTED", "GITHUB", "GITLAB", "BITBUCKET"], var.repository.source)
    error_message = "repository.source is HOSTED, GITHUB, GITLAB or BITBUCKET."
  }
  validation {
    condition     = var.repository.source == "HOSTED" || (can(regex("^https://[^@\\s]+$", var.repository.url)) && can(regex("^ocid1\\.vaultsecret\\.", var.repository.token_secret_id)))
    error_message = "A source elsewhere needs an https url without a user, and the OCID of the secret with its token, never the token."
  }
  validation {
    condition     = var.repository.mirror || contains(["GITHUB", "GITLAB"], var.repository.source)
    error_message = "Only GITHUB and GITLAB are read without a mirror."
  }
  validation {
    condition     = var.repository.source != "BITBUCKET" || can(regex("^[^@\\s]{1,30}$", var.repository.username))
    error_message = "Bitbucket needs the username that the API token belongs to, which is no e-mail address and has at most 30 characters: x-bitbucket-api-token-auth stands for whoever's it is."
  }
}

variable "more_sources" {
  description = "Repositories that a build gets besides, each in the folder of its name in OCI_WORKSPACE_DIR: source GITHUB or GITLAB with url and the OCID of the secret with the token, or HOSTED with url and repository_id of a repository of DevOps."
  type = list(object({
    name            = string
    source          = string
    url             = string
    branch          = optional(string, "main")
    repository_id   = optional(string)
    token_secret_id = optional(string)
  }))
  default = []

  validation {
    condition     = alltrue([for s in var.more_sources : can(regex("^[A-Za-z][A-Za-z0-9_-]{0,62}$", s.name)) && s.name != "source"]) && length(distinct(var.more_sources[*].name)) == length(var.more_sources)
    error_message = "Each of more_sources has a name of its own, of letters, digits, - and _; source is the name of the first."
  }
  validation {
    condition     = alltrue([for s in var.more_sources : contains(["HOSTED", "GITHUB", "GITLAB"], s.source)])
    error_message = "The source of each of more_sources is HOSTED, GITHUB or GITLAB."
  }
  validation {
    condition     = alltrue([for s in var.more_sources : can(regex("^https://[^@\\s]+$", s.url)) && can(regex("^[A-Za-z0-9._/-]+$", s.branch))])
    error_message = "Each of more_sources has an https url without a user, and a branch."
  }
  validation {
    condition     = alltrue([for s in var.more_sources : s.source == "HOSTED" ? can(regex("^ocid1\\.devopsrepository\\.", s.repository_id)) && s.token_secret_id == null : can(regex("^ocid1\\.vaultsecret\\.", s.token_secret_id)) && s.repository_id == null])
    error_message = "HOSTED needs the OCID of its repository, GITHUB and GITLAB the OCID of the secret with the token, never the token; neither takes the other's."
  }
}

variable "build_image" {
  description = "Image of the build runner."
  type        = string
  default     = "OL8_X86_64_STANDARD_10"

  validation {
    condition     = var.build_image == "OL8_X86_64_STANDARD_10"
    error_message = "build_image is OL8_X86_64_STANDARD_10, for which build_spec.yaml is made."
  }
}

variable "build_timeout_seconds" {
  description = "Time of a build."
  type        = number
  default     = 9000 # as in build_spec.yaml

  validation {
    condition     = var.build_timeout_seconds >= 60
    error_message = "build_timeout_seconds is at least 60."
  }
}

variable "build_parameters" {
  description = "Parameters of the build pipeline, which are variables for build_spec.yaml, and their values."
  type        = map(string)
  default     = {}
}

variable "files" {
  description = "Files that a build delivers besides the image: their names among outputArtifacts in build_spec.yaml, and the paths to store them under."
  type        = map(string)
  default     = {}
}

variable "documentation" {
  description = "Files whose changes alone start no build."
  type        = list(string)
  default     = ["*.md", "**/*.md", "docs/**"]
}

variable "tags" {
  description = "Free-form tags of everything that the module creates."
  type        = map(string)
}

variable "defined_tags" {
  description = "Defined tags of the same, as NAMESPACE.KEY and value; null: none."
  type        = map(string)
  default     = null
}
