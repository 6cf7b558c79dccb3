variable "parent_id" {
  description = "OCID of the compartment, or tenancy, to create the compartment in."
  type        = string

  validation {
    condition     = can(regex("^ocid1\\.(compartment|tenancy)\\.", var.parent_id))
    error_message = "parent_id is the OCID of a compartment or tenancy."
  }
}

variable "name" {
  description = "Name of the compartment."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,100}$", var.name))
    error_message = "A compartment's name has 1 to 100 letters, digits, dots, hyphens and underscores."
  }
}

variable "description" {
  description = "What the compartment is for."
  type        = string
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
