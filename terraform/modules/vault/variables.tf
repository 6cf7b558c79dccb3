variable "compartment_id" {
  description = "OCID of the compartment for the vault, its keys and its secrets. The function reads every secret in it."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "protection_mode" {
  description = "Where keys are: SOFTWARE, or HSM, which costs by the key version."
  type        = string
  default     = "SOFTWARE"

  validation {
    condition     = contains(["SOFTWARE", "HSM"], var.protection_mode)
    error_message = "protection_mode is SOFTWARE or HSM."
  }
}

variable "storage_key" {
  description = "Whether there is a key to encrypt the buckets with."
  type        = bool
  default     = false
}

variable "signing_key" {
  description = "Whether there is a key to sign evidence with. The function does not use it yet."
  type        = bool
  default     = false
}

variable "generated_secrets" {
  description = "Names of secrets whose values OCI makes up, such as technical passwords that only packages use."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.generated_secrets : can(regex("^[A-Za-z0-9._-]{1,255}$", name))])
    error_message = "Names have letters, digits, dots, hyphens and underscores."
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
  description = "How long the new vault's address is waited for before keys are made in it."
  type        = number
  default     = 0

  validation {
    condition     = var.settle_seconds >= 0 && floor(var.settle_seconds) == var.settle_seconds
    error_message = "settle_seconds is a whole number, 0 for no wait."
  }
}
