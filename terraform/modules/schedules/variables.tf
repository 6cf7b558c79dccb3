variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "environment" {
  description = "Name of the environment."
  type        = string
}

variable "create" {
  description = "Whether there is a function to invoke; false: nothing is created, and the rest is checked all the same."
  type        = bool
  default     = true
}

variable "function_id" {
  description = "OCID of the function; null as long as there is none."
  type        = string
  default     = null
}

variable "enabled" {
  description = "false: nothing is started by the clock. The sweep runs uploads, too."
  type        = bool
  default     = true
}

variable "sweep_minutes" {
  description = "How often the function looks for what was left behind: uploads without an event, runs that died, queues. 0: never."
  type        = number
  default     = 15

  validation {
    condition     = contains([0, 15, 20, 30, 60], var.sweep_minutes)
    error_message = "sweep_minutes divides an hour: 15, 20, 30 or 60, a schedule for each time of the hour; 0 for never."
  }
}

variable "packages" {
  description = "Packages that run on a calendar, by a name of your own: the object, a cron expression in UTC, once_per (a duration no longer than the interval), and optionally parameter_set, parameters and reason."
  type = map(object({
    object        = string
    cron          = string
    once_per      = string
    parameter_set = optional(string)
    parameters    = optional(map(string))
    reason        = optional(string)
  }))
  default = {}

  validation {
    condition     = alltrue([for name, package in var.packages : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", name))])
    error_message = "Names have 1 to 63 lower-case letters, digits and hyphens."
  }
  validation {
    condition     = alltrue([for package in values(var.packages) : endswith(package.object, ".zip")])
    error_message = "Each object is a package, a .zip."
  }
  validation {
    condition     = alltrue([for package in values(var.packages) : can(regex("^[0-5]?[0-9]( [0-9A-Za-z*,/-]+){4}$", package.cron))])
    error_message = "Each cron has five fields, minute, hour, day of month, month, day of week, in UTC; the minute is one number, as Resource Scheduler knows no period under an hour."
  }
  validation {
    condition     = alltrue([for package in values(var.packages) : can(regex("^([0-9]+(s|m|h))+$", package.once_per))])
    error_message = "Each once_per is a duration such as 24h: without it a schedule that starts twice would run twice."
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
