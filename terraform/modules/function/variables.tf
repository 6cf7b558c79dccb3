variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "environment" {
  description = "Name of the environment: what the function changes, and which packages may run."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,63}$", var.environment))
    error_message = "environment has 1 to 63 letters, digits, dots, hyphens and underscores."
  }
}

variable "subnet_ids" {
  description = "OCIDs of the subnets that the function runs in."
  type        = list(string)
}

variable "network_security_group_ids" {
  description = "OCIDs of the network security groups that say what it may connect to."
  type        = list(string)
}

variable "image_policy_ids" {
  description = "OCIDs of the policies that let OCI Functions read the image; the function waits for them."
  type        = list(string)
  default     = []
}

variable "create" {
  description = "Whether there is a function; false: the application only, as long as there is no image."
  type        = bool
  default     = true
}

variable "image" {
  description = "Image that the function is created with, with its tag, in a registry of the same region; empty once there is a function, which keeps the image that it has."
  type        = string
  default     = ""

  validation {
    condition     = var.image == "" || can(regex("^[^@]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image))
    error_message = "image ends in :TAG; the digest has a variable of its own."
  }
}

variable "image_digest" {
  description = "Digest of the image, sha256:…; null: whatever the tag names now."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest is sha256: and 64 hexadecimal digits."
  }
}

variable "memory_mb" {
  description = "Memory; a quarter of it is /tmp, which packages are extracted to."
  type        = number
  default     = 512

  validation {
    condition     = contains([128, 256, 512, 1024, 2048, 3072], var.memory_mb)
    error_message = "memory_mb is one of 128, 256, 512, 1024, 2048, 3072."
  }
}

variable "timeout_seconds" {
  description = "Time of an invocation that its caller waits for."
  type        = number
  default     = 300

  validation {
    condition     = var.timeout_seconds >= 30 && var.timeout_seconds <= 300
    error_message = "timeout_seconds is from 30 to 300, the most that OCI Functions allows."
  }
}

variable "detached_timeout_seconds" {
  description = "Time of an invocation that nobody waits for, such as a long run."
  type        = number
  default     = 3600

  validation {
    condition     = var.detached_timeout_seconds >= 5 && var.detached_timeout_seconds <= 3600
    error_message = "detached_timeout_seconds is from 5 to 3600."
  }
}

variable "provisioned_concurrency" {
  description = "Instances that are kept warm and paid for; 0: none, so that first calls wait some seconds."
  type        = number
  default     = 0

  validation {
    condition     = var.provisioned_concurrency >= 0 && floor(var.provisioned_concurrency) == var.provisioned_concurrency
    error_message = "provisioned_concurrency is a whole number."
  }
}

variable "packages_bucket" {
  description = "Name of the bucket that packages are read from."
  type        = string
}

variable "results_bucket" {
  description = "Name of the bucket that evidence is written to."
  type        = string
}

variable "state_bucket" {
  description = "Name of the bucket for what runs have to know of each other."
  type        = string
}

variable "policy" {
  description = "Admission policy: BUCKET/OBJECT, or the document itself; empty: everything valid is admitted."
  type        = string
  default     = ""
}

variable "apart" {
  description = "Whether scripts run in runners, which are granted nothing, and not in the function."
  type        = bool
  nullable    = false
}

variable "runner" {
  description = "The runners, LABEL=function:OCID each, with commas between them and the default first; null: there are none, or none yet."
  type        = string
  default     = null

  validation {
    condition     = var.runner == null || can(regex("^[a-z0-9-]{1,32}=function:[^,=]+(,[a-z0-9-]{1,32}=function:[^,=]+)*$", var.runner))
    error_message = "runner is such as default=function:ocid1.fnfunc…"
  }
}

variable "jobs_bucket" {
  description = "Name of the bucket for the mailboxes of jobs."
  type        = string
  default     = null
}

variable "accept_readable_credentials" {
  description = "Where scripts run in the function, whether they may although they can read its own credentials: true sets CEMLI_SANDBOX to basic; with false it is isolated, and where the kernel of OCI Functions has no Landlock nothing runs. The probe tells. null: they run apart."
  type        = bool
  default     = null
}

variable "vault_id" {
  description = "OCID of the vault for secrets that packages name; null: none by name."
  type        = string
  default     = null
}

variable "topic_id" {
  description = "OCID of the topic that finished runs are announced to."
  type        = string
}

variable "failure_topic_id" {
  description = "OCID of the topic for detached invocations that failed."
  type        = string
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
  description = "Whether detached invocations that succeeded are reported to the topic too, besides the run's own announcement."
  type        = bool
  default     = false
}

variable "log_level" {
  description = "Least level that the function logs: debug, info, warn, error; empty: info. Alarms count lines of level info and error."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "debug", "info"], var.log_level)
    error_message = "log_level is debug, info or empty: with less, the last line of a run that succeeded is not logged, and it is counted."
  }
}

variable "log_output" {
  description = "How much of scripts' output goes to the function's log: all, tail, none; empty: all. The evidence has all of it."
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

variable "write_log" {
  description = "The packages bucket's write log, by which evidence says who uploaded: OCIDs of compartment, log group and log, with / between them; null: nobody is looked for."
  type        = string
  default     = null
}

variable "reserve" {
  description = "Time of an invocation that is kept for the evidence, such as 15s; empty: the function's default."
  type        = string
  default     = ""

  validation {
    condition     = var.reserve == "" || can(regex("^([0-9]+(ms|s|m|h))+$", var.reserve))
    error_message = "reserve is a duration such as 15s or 1m30s."
  }
}

variable "limits" {
  description = "Limits that replace the function's defaults: bytes and numbers, and run_time as a duration such as 30m."
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

variable "tags" {
  description = "Free-form tags of everything that the module creates."
  type        = map(string)
}

variable "defined_tags" {
  description = "Defined tags of the same, as NAMESPACE.KEY and value; null: none."
  type        = map(string)
  default     = null
}

variable "settle_seconds" {
  description = "How long a new policy is waited for before the function that needs it."
  type        = number
  default     = 0

  validation {
    condition     = var.settle_seconds >= 0 && floor(var.settle_seconds) == var.settle_seconds
    error_message = "settle_seconds is a whole number, 0 for no wait."
  }
}
