mock_provider "oci" {}

variables {
  compartment_id             = "ocid1.compartment.oc1..r"
  environment                = "dev"
  label                      = "default"
  subnet_ids                 = ["ocid1.subnet.oc1..r"]
  network_security_group_ids = ["ocid1.networksecuritygroup.oc1..r"]
  image                      = "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:1.0.0"
  tags                       = { App = "cemli-executor" }
}

run "nothing_of_the_executor" {
  assert {
    condition     = oci_functions_function.this[0].config == tomap({ CEMLI_ROLE = "runner" })
    error_message = "a runner knows its role and nothing else"
  }
  assert {
    condition     = length(oci_functions_function.this[0].failure_destination) == 0 && length(oci_functions_function.this[0].success_destination) == 0
    error_message = "it publishes nothing"
  }
  assert {
    condition     = oci_functions_application.this.compartment_id == "ocid1.compartment.oc1..r" && oci_functions_application.this.subnet_ids == tolist(["ocid1.subnet.oc1..r"]) && oci_functions_application.this.network_security_group_ids == toset(["ocid1.networksecuritygroup.oc1..r"])
    error_message = "it is where it is put"
  }
}

run "its_own_settings" {
  variables {
    sandbox                  = "isolated"
    log_output               = "none"
    memory_mb                = 1024
    timeout_seconds          = 300
    detached_timeout_seconds = 1800
    provisioned_concurrency  = 5
    limits                   = { entries = 20000 }
  }
  assert {
    condition     = output.config == tomap({ CEMLI_ROLE = "runner", CEMLI_SANDBOX = "isolated", CEMLI_LOG_OUTPUT = "none", CEMLI_LIMIT_ENTRIES = "20000" })
    error_message = "what is set is configured"
  }
  assert {
    condition     = oci_functions_function.this[0].memory_in_mbs == "1024" && oci_functions_function.this[0].detached_mode_timeout_in_seconds == 1800 && oci_functions_function.this[0].provisioned_concurrency_config[0].count == 5
    error_message = "memory, time and warm instances"
  }
}

run "keeps_the_function_without_an_image" {
  variables {
    image = ""
  }
  assert {
    condition     = output.function_id == run.its_own_settings.function_id
    error_message = "the function that is there stays"
  }
}

run "the_application_comes_first" {
  variables {
    create = false
    image  = ""
  }
  assert {
    condition     = output.function_id == null && length(oci_functions_function.this) == 0
    error_message = "as long as there is no image"
  }
}

run "refuses_a_function_without_an_image" {
  command = plan
  variables {
    image = ""
  }
  expect_failures = [oci_functions_function.this]
}

run "refuses_a_label_that_no_package_can_name" {
  command = plan
  variables {
    label = "Finance"
  }
  expect_failures = [var.label]
}

run "refuses_no_confinement" {
  command = plan
  variables {
    sandbox = "none"
  }
  expect_failures = [var.sandbox]
}
