variable "compartment_id" {
  description = "OCID of the compartment of the environment that builds, or that is pushed to by hand."
  type        = string
}

variable "name" {
  description = "Name of the container repository, one of its kind in tenancy and region."
  type        = string
  default     = "cemli-executor"
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
