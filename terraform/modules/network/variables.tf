variable "compartment_id" {
  description = "OCID of the environment's compartment."
  type        = string
}

variable "name" {
  description = "Name of the network and beginning of its parts' names."
  type        = string
}

variable "cidr" {
  description = "Addresses of the function's subnet."
  type        = string
  default     = "10.0.0.0/24"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|2[0-9])$", var.cidr))
    error_message = "cidr is an IPv4 block between /16 and /29, such as 10.0.0.0/24."
  }
}

variable "nat_gateway" {
  description = "Whether what the allow-list names may be outside Oracle's network."
  type        = bool
  default     = false
}

variable "egress" {
  description = "What the function may connect to besides the region's Oracle services, which is for scripts that run there: TCP, one port each."
  type = list(object({
    cidr        = string
    port        = number
    description = string
  }))
  default = []

  validation {
    condition     = alltrue([for rule in var.egress : can(cidrhost(rule.cidr, 0)) && !endswith(rule.cidr, "/0")])
    error_message = "Each cidr is an IPv4 block, and none is everything: that would be no allow-list."
  }
  validation {
    condition     = alltrue([for rule in var.egress : rule.port >= 1 && rule.port <= 65535 && floor(rule.port) == rule.port])
    error_message = "Each port is a whole number from 1 to 65535."
  }
}

variable "runners_compartment_id" {
  description = "OCID of the compartment of runners, which their subnets are in; null: there are none."
  type        = string
  default     = null
}

variable "runners" {
  description = "Runners that get a subnet, by label: its addresses, and what its scripts may connect to besides Object Storage."
  type = map(object({
    cidr = string
    egress = list(object({
      cidr        = string
      port        = number
      description = string
    }))
  }))
  default = {}

  validation {
    condition     = alltrue([for runner in values(var.runners) : can(cidrhost(runner.cidr, 0)) && can(regex("/(1[6-9]|2[0-9])$", runner.cidr))])
    error_message = "A runner's cidr is an IPv4 block between /16 and /29, such as 10.0.1.0/24."
  }
  validation {
    condition     = alltrue([for rule in flatten(values(var.runners)[*].egress) : can(cidrhost(rule.cidr, 0)) && !endswith(rule.cidr, "/0")])
    error_message = "Each cidr is an IPv4 block, and none is everything: that would be no allow-list."
  }
  validation {
    condition     = alltrue([for rule in flatten(values(var.runners)[*].egress) : rule.port >= 1 && rule.port <= 65535 && floor(rule.port) == rule.port])
    error_message = "Each port is a whole number from 1 to 65535."
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
