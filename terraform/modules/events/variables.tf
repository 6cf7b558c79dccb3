variable "compartment_id" {
  description = "OCID of the compartment with the packages bucket: a rule sees events of its own compartment and those below."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "packages_bucket" {
  description = "Name of the bucket whose uploads run."
  type        = string
}

variable "function_id" {
  description = "OCID of the function."
  type        = string
}

variable "enabled" {
  description = "Whether uploads run; false stops the environment without changing anything else."
  type        = bool
  default     = true
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
