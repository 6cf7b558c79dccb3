variable "compartment_id" {
  description = "OCID of the runners' compartment, which no statement gives anything to and which is not the executor's."
  type        = string
}

variable "environment" {
  description = "Name of the environment, part of the names."
  type        = string
}

variable "label" {
  description = "What packages and policies call the runner."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]{1,32}$", var.label))
    error_message = "label has 1 to 32 lower-case letters, digits and hyphens."
  }
}

variable "subnet_ids" {
  description = "OCIDs of the subnets that it runs in, none of them the executor's."
  type        = list(string)
}

variable "network_security_group_ids" {
  description = "OCIDs of the network security groups that say what its scripts may connect to."
  type        = list(string)
}

variable "image_policy_ids" {
  description = "OCIDs of the policies that let OCI Functions read the image; the function waits for them."
  type        = list(string)
  default     = []
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

variable "sandbox" {
  description = "The least confinement that scripts run in: basic, isolated, full; empty: the runner's default, basic."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "basic", "isolated", "full"], var.sandbox)
    error_message = "sandbox is basic, isolated, full or empty."
  }
}

variable "log_output" {
  description = "How much of scripts' output goes to the runner's own log: all, tail, none; empty: all. The evidence has all of it."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "all", "tail", "none"], var.log_output)
    error_message = "log_output is all, tail, none or empty."
  }
}

variable "limits" {
  description = "The executor's limits of what packages may have, where they are not the function's defaults."
  type = object({
    package_bytes = optional(number)
    entries       = optional(number)
    file_bytes    = optional(number)
    total_bytes   = optional(number)
    ratio         = optional(number)
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
