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
