variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "namespace" {
  description = "Object Storage namespace of the tenancy."
  type        = string
}

variable "environment" {
  description = "Name of the environment, part of the buckets' names."
  type        = string
}

variable "kms_key_id" {
  description = "OCID of the Vault key to encrypt with; null: a key of Oracle's."
  type        = string
  default     = null
}

variable "key_policy_ids" {
  description = "OCIDs of policies that let Object Storage use the key; the buckets wait for them."
  type        = list(string)
  default     = []
}

variable "lifecycle_policy_ids" {
  description = "OCIDs of policies that let Object Storage apply lifecycle rules; the rules wait for them."
  type        = list(string)
  default     = []
}

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
    condition     = var.results_retention_days >= 1 && floor(var.results_retention_days) == var.results_retention_days
    error_message = "results_retention_days is a whole number, at least 1: evidence that can be deleted is none."
  }
}

variable "results_locked_from" {
  description = "Time (RFC 3339) from which the retention can only be made longer, by anyone; null: it can be lifted."
  type        = string
  default     = null

  validation {
    condition     = var.results_locked_from == null || can(formatdate("YYYY", var.results_locked_from))
    error_message = "results_locked_from is a time such as 2030-01-31T00:00:00Z."
  }
}

variable "run_files_archive_days" {
  description = "Age at which artifacts and logs of runs are archived; 0: never. Archived artifacts have to be restored before a rollback can use them."
  type        = number
  default     = 0

  validation {
    condition     = var.run_files_archive_days >= 0 && floor(var.run_files_archive_days) == var.run_files_archive_days
    error_message = "run_files_archive_days is a whole number, 0 for never."
  }
}

variable "run_files_delete_days" {
  description = "Age at which artifacts and logs of runs are deleted, more than the retention; 0: never. Results stay."
  type        = number
  default     = 0

  validation {
    condition     = var.run_files_delete_days >= 0 && floor(var.run_files_delete_days) == var.run_files_delete_days
    error_message = "run_files_delete_days is a whole number, 0 for never."
  }
}

variable "state_versions_days" {
  description = "How long earlier versions of state records are kept, to be restored if one is damaged."
  type        = number
  default     = 30

  validation {
    condition     = var.state_versions_days >= 1 && floor(var.state_versions_days) == var.state_versions_days
    error_message = "state_versions_days is a whole number, at least 1."
  }
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
  description = "How long new policies are waited for before buckets and lifecycle rules that need them."
  type        = number
  default     = 0

  validation {
    condition     = var.settle_seconds >= 0 && floor(var.settle_seconds) == var.settle_seconds
    error_message = "settle_seconds is a whole number, 0 for no wait."
  }
}
