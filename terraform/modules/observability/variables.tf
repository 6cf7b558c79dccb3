variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "tenancy_id" {
  description = "OCID of the tenancy, to report changes of policies too; null where the region is not the tenancy's home, which alone audits them."
  type        = string
  default     = null
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "application_id" {
  description = "OCID of the function's application, whose log is kept and counted."
  type        = string
}

variable "alarms" {
  description = "Whether there is a function to watch."
  type        = bool
}

variable "runners" {
  description = "Runners, by label: the application whose log is kept, and the function whose failures an alarm watches, null as long as there is none."
  type = map(object({
    application_id = string
    function_id    = string
  }))
  default = {}
}

variable "runners_compartment_id" {
  description = "OCID of the compartment of runners; null: there are none."
  type        = string
  default     = null
}

variable "jobs_bucket" {
  description = "Name of the bucket in which the executor makes pre-authenticated requests, of which nobody is told; null: there is none."
  type        = string
  default     = null
}

variable "function_id" {
  description = "OCID of the function that alarms watch; null as long as there is none."
  type        = string
  default     = null
}

variable "packages_bucket" {
  description = "Name of the bucket whose write log names uploaders."
  type        = string
}

variable "deploys" {
  description = "Whether there is a DevOps project, whose log is kept."
  type        = bool
  default     = false
}

variable "devops_project_id" {
  description = "OCID of the DevOps project; null if there is none."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept: 30, 60, 90, 120, 150 or 180 days."
  type        = number
  default     = 90

  validation {
    condition     = contains([30, 60, 90, 120, 150, 180], var.log_retention_days)
    error_message = "log_retention_days is 30, 60, 90, 120, 150 or 180."
  }
}

variable "silence_hours" {
  description = "After how many hours without an invocation the alarm on silence fires; more than the interval of the sweep. 0: never, as where nothing sweeps."
  type        = number
  default     = 2

  validation {
    condition     = var.silence_hours >= 0 && var.silence_hours <= 24 && floor(var.silence_hours) == var.silence_hours
    error_message = "silence_hours is a whole number from 0 to 24, the longest interval of an alarm's query."
  }
}

variable "run_emails" {
  description = "Addresses that hear of all runs. Each has to confirm its subscription."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.run_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Each is an e-mail address."
  }
}

variable "failure_emails" {
  description = "Addresses that hear of failures, alarms and changes. Each has to confirm its subscription."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.failure_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "Each is an e-mail address."
  }
}

variable "failure_urls" {
  description = "HTTPS endpoints that hear of the same."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for url in var.failure_urls : startswith(url, "https://")])
    error_message = "Each begins with https://."
  }
}

variable "failure_pagerduty_urls" {
  description = "PagerDuty integration URLs that hear of the same. They are secrets, and Terraform's state has them."
  type        = list(string)
  default     = []
  sensitive   = true

  validation {
    condition     = alltrue([for url in var.failure_pagerduty_urls : startswith(url, "https://")])
    error_message = "Each begins with https://."
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
