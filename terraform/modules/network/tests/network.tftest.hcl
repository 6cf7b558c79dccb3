mock_provider "oci" {
  mock_data "oci_core_services" {
    defaults = {
      services = [{
        id          = "ocid1.service.oc1..all"
        cidr_block  = "all-services-in-oracle-services-network"
        name        = "All Services In Oracle Services Network"
        description = ""
      }]
    }
  }
}

variables {
  compartment_id = "ocid1.compartment.oc1..c"
  name           = "cemli-dev"
  tags           = { App = "cemli-executor" }
}

run "nothing_comes_in" {
  assert {
    condition     = oci_core_subnet.private.prohibit_public_ip_on_vnic && oci_core_subnet.private.prohibit_internet_ingress
    error_message = "the subnet is private"
  }
  assert {
    condition     = length(oci_core_security_list.none.ingress_security_rules) == 0 && length(oci_core_security_list.none.egress_security_rules) == 0
    error_message = "the security list allows nothing by itself"
  }
  assert {
    condition     = oci_core_subnet.private.security_list_ids == toset([oci_core_security_list.none.id])
    error_message = "the subnet uses the empty security list, not the VCN's default"
  }
}

run "only_oracle_services_without_an_allow_list" {
  assert {
    condition     = length(oci_core_network_security_group_security_rule.allowed) == 0 && length(oci_core_nat_gateway.this) == 0
    error_message = "there is no way out but to Oracle services"
  }
  assert {
    condition     = oci_core_network_security_group_security_rule.oracle_services.tcp_options[0].destination_port_range[0].max == 443
    error_message = "Oracle services are reached with HTTPS only"
  }
  assert {
    condition     = alltrue([for rule in oci_core_route_table.private.route_rules : rule.destination_type == "SERVICE_CIDR_BLOCK"])
    error_message = "without NAT there is no route to the internet"
  }
}

run "the_allow_list" {
  variables {
    nat_gateway = true
    egress      = [{ cidr = "198.51.100.7/32", port = 443, description = "the ERP" }]
  }
  assert {
    condition = (
      length(oci_core_network_security_group_security_rule.allowed) == 1 &&
      oci_core_network_security_group_security_rule.allowed["198.51.100.7/32:443"].direction == "EGRESS" &&
      oci_core_network_security_group_security_rule.allowed["198.51.100.7/32:443"].tcp_options[0].destination_port_range[0].min == 443
    )
    error_message = "the allow-list becomes egress rules of one port each"
  }
  assert {
    condition     = length(oci_core_route_table.private.route_rules) == 2
    error_message = "with NAT there is a route to it"
  }
}

run "refuses_everything" {
  command = plan
  variables {
    egress = [{ cidr = "0.0.0.0/0", port = 443, description = "all" }]
  }
  expect_failures = [var.egress]
}

run "refuses_a_malformed_network" {
  command = plan
  variables {
    cidr = "10.0.0.0"
  }
  expect_failures = [var.cidr]
}

run "runners_are_apart" {
  override_data {
    target = data.oci_core_services.storage
    values = {
      services = [{ id = "ocid1.service.oc1..storage", cidr_block = "oci-fra-objectstorage", name = "OCI FRA Object Storage", description = "" }]
    }
  }
  variables {
    nat_gateway            = true
    runners_compartment_id = "ocid1.compartment.oc1..r"
    runners = {
      default = { cidr = "10.0.1.0/24", egress = [{ cidr = "198.51.100.7/32", port = 443, description = "the ERP" }] }
      finance = { cidr = "10.0.2.0/24", egress = [{ cidr = "198.51.100.7/32", port = 1521, description = "its database" }] }
    }
  }
  assert {
    condition     = length(oci_core_network_security_group_security_rule.allowed) == 0 && [for rule in oci_core_route_table.private.route_rules : rule.destination_type] == ["SERVICE_CIDR_BLOCK"]
    error_message = "the function reaches Oracle's services only, also where there is a NAT gateway"
  }
  assert {
    condition     = { for label, subnet in oci_core_subnet.runner : label => "${subnet.cidr_block} ${subnet.compartment_id} ${subnet.prohibit_public_ip_on_vnic} ${subnet.prohibit_internet_ingress}" } == { default = "10.0.1.0/24 ocid1.compartment.oc1..r true true", finance = "10.0.2.0/24 ocid1.compartment.oc1..r true true" }
    error_message = "each runner has a private subnet in the runners' compartment"
  }
  assert {
    condition     = alltrue([for subnet in oci_core_subnet.runner : subnet.security_list_ids == toset([oci_core_security_list.none.id]) && subnet.route_table_id == oci_core_route_table.runners[0].id]) && length(oci_core_route_table.runners[0].route_rules) == 2
    error_message = "with no rules but its own, and the routes of runners"
  }
  assert {
    condition     = alltrue([for rule in oci_core_network_security_group_security_rule.runner_storage : rule.destination == "oci-fra-objectstorage" && rule.tcp_options[0].destination_port_range[0].max == 443]) && length(oci_core_network_security_group_security_rule.runner_storage) == 2
    error_message = "of Oracle's services a runner reaches Object Storage alone"
  }
  assert {
    condition = { for name, rule in oci_core_network_security_group_security_rule.runner_allowed : name => rule.network_security_group_id } == {
      "default:198.51.100.7/32:443"  = output.runner_network_security_group_ids["default"]
      "finance:198.51.100.7/32:1521" = output.runner_network_security_group_ids["finance"]
    }
    error_message = "and what its own list names"
  }
  assert {
    condition     = oci_core_vcn.this.cidr_blocks == tolist(["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"])
    error_message = "the network has the addresses of all"
  }
}

run "refuses_a_runner_among_the_functions_addresses" {
  command = plan
  variables {
    runners = { default = { cidr = "10.0.0.128/25", egress = [] } }
  }
  expect_failures = [oci_core_vcn.this]
}

run "refuses_two_runners_of_the_same_addresses" {
  command = plan
  variables {
    runners = { default = { cidr = "10.0.1.0/24", egress = [] }, finance = { cidr = "10.0.1.0/24", egress = [] } }
  }
  expect_failures = [oci_core_vcn.this]
}

run "refuses_everything_for_a_runner" {
  command = plan
  variables {
    runners = { default = { cidr = "10.0.1.0/24", egress = [{ cidr = "0.0.0.0/0", port = 443, description = "all" }] } }
  }
  expect_failures = [var.runners]
}
