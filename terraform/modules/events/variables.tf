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

variable "triggers" {
  description = "Events besides uploads that reach the function, by a name of your own: event_type, resource (a name, in which * stands for anything, or an OCID) and, where it is another, the compartment of the resource."
  type = map(object({
    event_type       = string
    resource         = string
    compartment_ocid = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.triggers) : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", name))])
    error_message = "Names have 1 to 63 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for trigger in values(var.triggers) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$", trigger.event_type))])
    error_message = "Each event_type is one of OCI Events, such as com.oraclecloud.vaultsecret.createsecretversion."
  }
  validation {
    condition     = alltrue([for trigger in values(var.triggers) : !contains(["com.oraclecloud.objectstorage.createobject", "com.oraclecloud.objectstorage.updateobject"], lower(trigger.event_type))])
    error_message = "Uploads are no triggers: those to the packages bucket run by themselves, and those to other buckets never."
  }
  validation {
    condition     = alltrue([for trigger in values(var.triggers) : can(regex("^[A-Za-z0-9*][A-Za-z0-9 ._:/*-]{0,254}$", trigger.resource))])
    error_message = "Each resource is a name, in which * stands for anything, or an OCID."
  }
  validation {
    condition     = alltrue([for trigger in values(var.triggers) : trigger.compartment_ocid == null ? true : can(regex("^ocid1\\.(compartment|tenancy)\\.", trigger.compartment_ocid))])
    error_message = "Each compartment_ocid is the OCID of a compartment."
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
