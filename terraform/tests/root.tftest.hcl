# How the modules are put together, without a file of environments.

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
  mock_data "oci_objectstorage_namespace" {
    defaults = { namespace = "ns" }
  }
}

mock_provider "oci" {
  alias = "home"

  mock_data "oci_identity_compartment" {
    defaults = { compartment_id = "ocid1.compartment.oc1..parent" }
  }
}

variables {
  settle_seconds   = 0
  tenancy_ocid     = "ocid1.tenancy.oc1..t"
  compartment_ocid = "ocid1.compartment.oc1..c"
  region           = "eu-frankfurt-1"
  owner            = "platform"
  cost_center      = "1000"
  approvers_group  = "cemli-approvers"
  promotion_group  = "cemli-promotion"
  function_image   = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"

  environment            = "qa"
  results_retention_days = 7
}

run "an_environment_of_ones_own" {
  assert {
    condition     = output.buckets.packages == "cemli-qa-packages" && output.deploy_stages == ["DEPLOY_FUNCTION", "DEPLOY_FUNCTION", "INVOKE_FUNCTION"]
    error_message = "any name makes an environment"
  }
  assert {
    condition     = output.compartment_id == var.compartment_ocid
    error_message = "in the compartment that is given"
  }
}

run "a_compartment_of_its_own" {
  variables {
    create_compartment = true
  }
  assert {
    condition     = output.compartment_id != var.compartment_ocid
    error_message = "a compartment is created"
  }
}

run "a_network_that_exists" {
  variables {
    subnet_ocids                 = ["ocid1.subnet.oc1..s"]
    network_security_group_ocids = ["ocid1.networksecuritygroup.oc1..n"]
    runners                      = { default = { subnet_ocids = ["ocid1.subnet.oc1..r"], network_security_group_ocids = ["ocid1.networksecuritygroup.oc1..r"] } }
  }
  assert {
    condition     = length(module.network) == 0
    error_message = "no network is created"
  }
}

run "iam_of_a_platform_admin" {
  variables {
    create_iam = false
  }
  assert {
    condition     = strcontains(output.iam_handover, "dynamic group cemli-qa-function") && strcontains(output.iam_handover, output.function_id)
    error_message = "the text to hand over is complete"
  }
}

run "a_mirror" {
  variables {
    build                      = true
    create_vault               = true
    repository_source          = "GITLAB"
    repository_url             = "https://gitlab.com/example/cemli-executor"
    repository_token_secret_id = "ocid1.vaultsecret.oc1..t"
  }
  assert {
    condition     = length([for s in output.iam_statements.devops : s if strcontains(s, "target.secret.id='ocid1.vaultsecret.oc1..t'")]) == 2
    error_message = "connection and repository read the token's secret, and only that"
  }
}

run "a_source_that_is_read_where_it_is" {
  variables {
    build                      = true
    create_vault               = true
    repository_source          = "GITHUB"
    repository_mirror          = false
    repository_url             = "https://github.com/example/cemli-executor"
    repository_token_secret_id = "ocid1.vaultsecret.oc1..t"
    build_secret_ids           = ["ocid1.vaultsecret.oc1..v"]
    build_sources              = [{ name = "tools", source = "GITLAB", url = "https://gitlab.com/example/tools", token_secret_id = "ocid1.vaultsecret.oc1..g" }]
  }
  assert {
    condition = [for s in output.iam_statements.devops : s if strcontains(s, "target.secret.id")] == [
      "Allow dynamic-group cemli-qa-connection to read secret-bundles in compartment id ocid1.compartment.oc1..c where any {target.secret.id='ocid1.vaultsecret.oc1..t', target.secret.id='ocid1.vaultsecret.oc1..g'}",
      "Allow dynamic-group cemli-qa-build to read secret-bundles in compartment id ocid1.compartment.oc1..c where any {target.secret.id='ocid1.vaultsecret.oc1..t', target.secret.id='ocid1.vaultsecret.oc1..g', target.secret.id='ocid1.vaultsecret.oc1..v'}",
    ]
    error_message = "connections read tokens, builds tokens and what build_spec.yaml names, and no other secret"
  }
  assert {
    condition     = output.repository_url == "https://github.com/example/cemli-executor" && output.repository_id == null && output.trigger_url != null && output.connection_id != null
    error_message = "what the webhook needs is told"
  }
}

run "a_mirrors_token_is_not_the_builds" {
  variables {
    build                      = true
    create_vault               = true
    repository_source          = "GITHUB"
    repository_url             = "https://github.com/example/cemli-executor"
    repository_token_secret_id = "ocid1.vaultsecret.oc1..t"
    build_secret_ids           = ["ocid1.vaultsecret.oc1..v"]
  }
  assert {
    condition     = [for s in output.iam_statements.devops : s if strcontains(s, "cemli-qa-build to read secret-bundles")] == ["Allow dynamic-group cemli-qa-build to read secret-bundles in compartment id ocid1.compartment.oc1..c where any {target.secret.id='ocid1.vaultsecret.oc1..v'}"]
    error_message = "the build reads what build_spec.yaml names alone"
  }
}

run "refuses_a_secret_itself" {
  command = plan
  variables {
    build_secret_ids = ["hunter2"]
  }
  expect_failures = [var.build_secret_ids]
}

run "a_vault_that_exists" {
  variables {
    vault_id                 = "ocid1.vault.oc1..v"
    secrets_compartment_ocid = "ocid1.compartment.oc1..s"
    storage_key_id           = "ocid1.key.oc1..k"
  }
  assert {
    condition     = output.function_config["CEMLI_VAULT"] == "ocid1.vault.oc1..v"
    error_message = "the function uses it"
  }
  assert {
    condition     = join(";", output.iam_statements.encryption) == "Allow service objectstorage-eu-frankfurt-1 to use keys in compartment id ocid1.compartment.oc1..s where all {target.key.id='ocid1.key.oc1..k', any {request.permission='KEY_INSPECT', request.permission='KEY_READ', request.permission='KEY_ENCRYPT', request.permission='KEY_DECRYPT'}}"
    error_message = "Object Storage uses the key"
  }
}

run "without_devops" {
  variables {
    create_devops = false
  }
  assert {
    condition     = length(module.registry) == 1 && length(module.devops) == 0
    error_message = "images are pushed by hand to a repository of one's own"
  }
}

run "without_devops_from_another_environment" {
  variables {
    create_devops           = false
    images_compartment_ocid = "ocid1.compartment.oc1..dev"
  }
  assert {
    condition     = length(module.registry) == 0
    error_message = "tenancy and region have one repository of a name"
  }
}

run "who_uploaded_is_recorded" {
  assert {
    condition     = output.function_config["CEMLI_WRITE_LOG"] == module.observability.write_log && length([for s in output.iam_statements.function : s if endswith(s, "to read log-content in compartment id ${var.compartment_ocid} where target.loggroup.id='${output.uploads_log_group_id}'")]) == 1
    error_message = "the function knows the write log and may read it, and no other log"
  }
}

run "who_uploaded_is_not_recorded" {
  variables {
    record_uploaders = false
  }
  assert {
    condition     = !contains(keys(output.function_config), "CEMLI_WRITE_LOG") && !anytrue([for s in output.iam_statements.function : strcontains(s, "log-content")])
    error_message = "the function neither knows nor may read the write log"
  }
}

run "no_vault" {
  assert {
    condition     = !anytrue([for s in output.iam_statements.function : strcontains(s, "secret-bundles")]) && !contains(keys(output.function_config), "CEMLI_VAULT")
    error_message = "without a vault the function reads no secrets"
  }
}

run "defined_tags_beside_the_others" {
  variables {
    defined_tags = { "Finance.CostCenter" = "1000" }
  }
  assert {
    condition     = local.defined_tags == tomap({ "Finance.CostCenter" = "1000" }) && output.tags["Owner"] == "platform"
    error_message = "a tenancy's own tags are set, too"
  }
}

run "none_are_left_to_the_tenancys_defaults" {
  assert {
    condition     = local.defined_tags == null
    error_message = "no empty map"
  }
}

run "refuses_a_tag_without_a_namespace" {
  command = plan
  variables {
    defined_tags = { CostCenter = "1000" }
  }
  expect_failures = [var.defined_tags]
}

run "refuses_an_alarm_between_two_sweeps" {
  command = plan
  variables {
    sweep_minutes = 60
    silence_hours = 1
  }
  expect_failures = [terraform_data.workspace]
}

run "events_from_elsewhere_may_start_packages" {
  variables {
    create_iam = false
    package_triggers = {
      here  = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "erp-*" }
      there = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "erp-*", compartment_ocid = "ocid1.compartment.oc1..secrets" }
    }
  }
  assert {
    condition     = keys(module.events[0].trigger_rule_ids) == ["here", "there"]
    error_message = "a rule for each trigger"
  }
  assert {
    condition     = length([for line in split("\n", output.iam_handover) : line if can(regex("to use fn-invocation .*any \\{request.principal.compartment.id='ocid1.compartment.oc1..secrets'\\}", line))]) == 1
    error_message = "rules of the other compartment may invoke the function"
  }
}

run "events_of_the_environment_alone" {
  variables {
    create_iam       = false
    package_triggers = { here = { event_type = "com.oraclecloud.vaultsecret.createsecretversion", resource = "erp-*" } }
  }
  assert {
    condition     = !strcontains(output.iam_handover, "any {request.principal.compartment.id")
    error_message = "nobody else may"
  }
}
