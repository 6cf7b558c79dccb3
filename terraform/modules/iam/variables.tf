variable "create" {
  description = "Whether dynamic groups and policies are created; false: their text is an output, for whoever owns IAM."
  type        = bool
  default     = true
}

variable "tenancy_id" {
  description = "OCID of the tenancy, where dynamic groups and policies live."
  type        = string
}

variable "compartment_id" {
  description = "OCID of the environment's compartment. Everything in it of type function is taken for the function."
  type        = string
}

variable "environment" {
  description = "Name of the environment, part of the names."
  type        = string
}

variable "region" {
  description = "Region, such as eu-frankfurt-1, part of the name of Object Storage as a principal."
  type        = string
}

variable "deploys" {
  description = "Whether the environment has a deployment pipeline."
  type        = bool
  default     = false
}

variable "builds" {
  description = "Whether the environment has a build pipeline."
  type        = bool
  default     = false
}

variable "mirrors" {
  description = "Whether its repository is a mirror that needs a token."
  type        = bool
  default     = false
}

variable "connects" {
  description = "Whether there are connections, which are validated with tokens: a mirror's, and those of sources that are read where they are."
  type        = bool
  default     = false
}

variable "encrypts" {
  description = "Whether the buckets are encrypted with a key of one's own."
  type        = bool
  default     = false
}

variable "storage_key_id" {
  description = "OCID of that key; null if there is none."
  type        = string
  default     = null
}

variable "keys_compartment_id" {
  description = "OCID of the compartment of that key; null if there is none."
  type        = string
  default     = null
}

variable "groups" {
  description = "Names of existing groups, 'Domain'/'Name' outside the default domain: authors, promotion, approvers, operators, policies (who writes the admission policy), auditors. Who has none gets nothing."
  type = object({
    authors   = optional(string)
    promotion = optional(string)
    approvers = optional(string)
    operators = optional(string)
    policies  = optional(string)
    auditors  = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for group in values(var.groups) : group == null || can(regex("^('[A-Za-z0-9 ._@+-]+'/)?'?[A-Za-z0-9 ._@+-]+'?$", group))])
    error_message = "A group is a name, or 'Domain'/'Name'."
  }
}

variable "images_compartment_id" {
  description = "OCID of the compartment of the image's repository. Not among the values, because the function waits for this policy and other values come from the function."
  type        = string
  default     = null
}

variable "image_repository" {
  description = "Name of the image's repository; null: there is none."
  type        = string
  default     = null
}

variable "runner_function_ids" {
  description = "OCIDs of the runners, which the executor alone invokes, in the compartment runner_compartment_id of the values."
  type        = list(string)
  default     = []
}

variable "values" {
  description = "What the other placeholders of the statements stand for; null leaves out the statements that need it."
  type        = map(string)

  validation {
    condition     = alltrue([for value in values(var.values) : value == null ? true : !can(regex("[{}$\\n]", value))])
    error_message = "A value is a name or an OCID."
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
