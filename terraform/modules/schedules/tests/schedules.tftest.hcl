mock_provider "oci" {}

variables {
  compartment_id = "ocid1.compartment.oc1..c"
  environment    = "dev"
  function_id    = "ocid1.fnfunc.oc1..f"
  tags           = { App = "cemli-executor" }
}

run "sweeps" {
  assert {
    condition     = { for name, schedule in oci_resource_scheduler_schedule.this : name => schedule.recurrence_details } == { sweep-00 = "0 * * * *", sweep-15 = "15 * * * *", sweep-30 = "30 * * * *", sweep-45 = "45 * * * *" }
    error_message = "four schedules a quarter apart, none with a period under an hour"
  }
  assert {
    condition     = alltrue([for schedule in oci_resource_scheduler_schedule.this : schedule.action == "START_RESOURCE" && jsondecode(schedule.resources[0].parameters[0].value[0]) == { action = "sweep" }])
    error_message = "the request of each is a sweep"
  }
  assert {
    condition     = oci_resource_scheduler_schedule.this["sweep-00"].resources[0].parameters[0].parameter_type == "BODY" && oci_resource_scheduler_schedule.this["sweep-00"].resources[0].id == "ocid1.fnfunc.oc1..f"
    error_message = "it is the function's body"
  }
}

run "hourly" {
  variables {
    sweep_minutes = 60
  }
  assert {
    condition     = { for name, schedule in oci_resource_scheduler_schedule.this : name => schedule.recurrence_details } == { sweep-00 = "0 * * * *" }
    error_message = "one schedule"
  }
}

run "packages_on_a_calendar" {
  variables {
    sweep_minutes = 0
    packages = {
      month-end = { object = "ledger-codes-1.2.0.zip", cron = "0 3 1 * *", once_per = "24h", parameters = { PERIOD = "last" } }
    }
  }
  assert {
    condition     = keys(oci_resource_scheduler_schedule.this) == ["package-month-end"]
    error_message = "no sweep, one package"
  }
  assert {
    condition = jsondecode(oci_resource_scheduler_schedule.this["package-month-end"].resources[0].parameters[0].value[0]) == {
      object = "ledger-codes-1.2.0.zip", once_per = "24h", parameters = { PERIOD = "last" }
    }
    error_message = "the request has what was given and nothing else"
  }
}

run "refuses_a_package_without_its_slot" {
  command = plan
  variables {
    packages = { x = { object = "x-1.0.0.zip", cron = "0 3 1 * *", once_per = "" } }
  }
  expect_failures = [var.packages]
}

run "refuses_an_interval_that_cron_cannot_say" {
  command = plan
  variables {
    sweep_minutes = 7
  }
  expect_failures = [var.sweep_minutes]
}

run "refuses_before_there_is_a_function_too" {
  command = plan
  variables {
    create      = false
    function_id = null
    packages    = { x = { object = "x-1.0.0.tar", cron = "0 3 1 * *", once_per = "24h" } }
  }
  expect_failures = [var.packages]
}

run "before_there_is_a_function" {
  variables {
    create      = false
    function_id = null
  }
  assert {
    condition     = length(oci_resource_scheduler_schedule.this) == 0
    error_message = "there is nothing to invoke"
  }
}

run "refuses_a_period_under_an_hour" {
  command = plan
  variables {
    packages = { x = { object = "x-1.0.0.zip", cron = "*/10 * * * *", once_per = "10m" } }
  }
  expect_failures = [var.packages]
}
