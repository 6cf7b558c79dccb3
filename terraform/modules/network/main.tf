# Private subnets whose only ways out are the region's Oracle services and what an allow-list
# names. A script with network reaches what this module lets it reach: with a runner that is
# Object Storage and the runner's own list, and the function reaches Oracle's services alone.

data "oci_core_services" "oracle" {
  filter {
    name   = "name"
    values = ["All .* Services In Oracle Services Network"]
    regex  = true
  }
}

data "oci_core_services" "storage" {
  filter {
    name   = "name"
    values = ["OCI .* Object Storage"]
    regex  = true
  }
}

locals {
  oracle_services = data.oci_core_services.oracle.services[0]
  object_storage  = data.oci_core_services.storage.services[0]

  cidrs = concat([var.cidr], [for runner in values(var.runners) : runner.cidr])
  # Of two blocks that overlap the smaller one begins, cut to the size of the larger, where that one does.
  overlaps = flatten([for i, a in local.cidrs : [for j, b in local.cidrs : "${a} and ${b}" if i < j && length(distinct([
    for cidr in [a, b] : cidrhost("${split("/", cidr)[0]}/${min(split("/", a)[1], split("/", b)[1])}", 0)
  ])) == 1]])

  allowed = merge([for label, runner in var.runners : {
    for rule in runner.egress : "${label}:${rule.cidr}:${rule.port}" => merge(rule, { label = label })
  }]...)
}

resource "oci_core_vcn" "this" {
  compartment_id = var.compartment_id
  display_name   = var.name
  cidr_blocks    = local.cidrs
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  lifecycle {
    precondition {
      condition     = length(local.overlaps) == 0
      error_message = "The function and each runner have addresses of their own: ${join(", ", local.overlaps)} overlap."
    }
  }
}

resource "oci_core_service_gateway" "this" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  services {
    service_id = local.oracle_services.id
  }
}

resource "oci_core_nat_gateway" "this" {
  count = var.nat_gateway ? 1 : 0

  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_core_route_table" "private" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = var.name
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  route_rules {
    description       = "Oracle services, without the internet"
    network_entity_id = oci_core_service_gateway.this.id
    destination       = local.oracle_services.cidr_block
    destination_type  = "SERVICE_CIDR_BLOCK"
  }

  dynamic "route_rules" {
    for_each = length(var.egress) > 0 ? oci_core_nat_gateway.this : []
    content {
      description       = "what the allow-list names and is not of Oracle"
      network_entity_id = route_rules.value.id
      destination       = "0.0.0.0/0"
      destination_type  = "CIDR_BLOCK"
    }
  }
}

# The VCN's default security list lets SSH in and everything out; this one has no rules,
# so that the network security group alone decides.
resource "oci_core_security_list" "none" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = "${var.name}-none"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_core_subnet" "private" {
  compartment_id             = var.compartment_id
  vcn_id                     = oci_core_vcn.this.id
  display_name               = "${var.name}-private"
  cidr_block                 = var.cidr
  route_table_id             = oci_core_route_table.private.id
  security_list_ids          = [oci_core_security_list.none.id]
  prohibit_public_ip_on_vnic = true
  prohibit_internet_ingress  = true
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags
}

resource "oci_core_network_security_group" "function" {
  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = "${var.name}-function"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_core_network_security_group_security_rule" "oracle_services" {
  network_security_group_id = oci_core_network_security_group.function.id
  description               = "Object Storage, Vault, Notifications, the registry"
  direction                 = "EGRESS"
  protocol                  = "6" # TCP
  destination               = local.oracle_services.cidr_block
  destination_type          = "SERVICE_CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = 443
      max = 443
    }
  }
}

resource "oci_core_network_security_group_security_rule" "allowed" {
  for_each = { for rule in var.egress : "${rule.cidr}:${rule.port}" => rule }

  network_security_group_id = oci_core_network_security_group.function.id
  description               = each.value.description
  direction                 = "EGRESS"
  protocol                  = "6" # TCP
  destination               = each.value.cidr
  destination_type          = "CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = each.value.port
      max = each.value.port
    }
  }
}

# ---- runners: the same, by label, each with a subnet and an allow-list of its own

resource "oci_core_route_table" "runners" {
  count = length(var.runners) > 0 ? 1 : 0

  compartment_id = var.compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = "${var.name}-runners"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  route_rules {
    description       = "Oracle services, without the internet"
    network_entity_id = oci_core_service_gateway.this.id
    destination       = local.oracle_services.cidr_block # what the gateway has; the rules below narrow it
    destination_type  = "SERVICE_CIDR_BLOCK"
  }

  dynamic "route_rules" {
    for_each = oci_core_nat_gateway.this
    content {
      description       = "what an allow-list names and is not of Oracle"
      network_entity_id = route_rules.value.id
      destination       = "0.0.0.0/0"
      destination_type  = "CIDR_BLOCK"
    }
  }
}

resource "oci_core_subnet" "runner" {
  for_each = var.runners

  compartment_id             = var.runners_compartment_id
  vcn_id                     = oci_core_vcn.this.id
  display_name               = "${var.name}-runner-${each.key}"
  cidr_block                 = each.value.cidr
  route_table_id             = oci_core_route_table.runners[0].id
  security_list_ids          = [oci_core_security_list.none.id]
  prohibit_public_ip_on_vnic = true
  prohibit_internet_ingress  = true
  freeform_tags              = var.tags
  defined_tags               = var.defined_tags
}

resource "oci_core_network_security_group" "runner" {
  for_each = var.runners

  compartment_id = var.runners_compartment_id
  vcn_id         = oci_core_vcn.this.id
  display_name   = "${var.name}-runner-${each.key}"
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_core_network_security_group_security_rule" "runner_storage" {
  for_each = oci_core_network_security_group.runner

  network_security_group_id = each.value.id
  description               = "Object Storage, which has the mailboxes of jobs"
  direction                 = "EGRESS"
  protocol                  = "6" # TCP
  destination               = local.object_storage.cidr_block
  destination_type          = "SERVICE_CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = 443
      max = 443
    }
  }
}

resource "oci_core_network_security_group_security_rule" "runner_allowed" {
  for_each = local.allowed

  network_security_group_id = oci_core_network_security_group.runner[each.value.label].id
  description               = each.value.description
  direction                 = "EGRESS"
  protocol                  = "6" # TCP
  destination               = each.value.cidr
  destination_type          = "CIDR_BLOCK"

  tcp_options {
    destination_port_range {
      min = each.value.port
      max = each.value.port
    }
  }
}
