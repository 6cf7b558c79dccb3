mock_provider "oci" {}

variables {
  tenancy_id     = "ocid1.tenancy.oc1..t"
  compartment_id = "ocid1.compartment.oc1..c"
  environment    = "prod"
  region         = "eu-frankfurt-1"
  deploys        = true
  builds         = true
  mirrors        = true
  connects       = true

  encrypts            = true
  storage_key_id      = "ocid1.key.oc1..k"
  keys_compartment_id = "ocid1.compartment.oc1..s"

  images_compartment_id = "ocid1.compartment.oc1..c"
  image_repository      = "cemli-executor"

  groups = { authors = "cemli-authors", promotion = "cemli-promotion", approvers = "'Corp'/'cemli-approvers'", operators = "cemli-operators", policies = "cemli-policies", auditors = "cemli-auditors" }

  runner_function_ids = ["ocid1.fnfunc.oc1..runner"]
  values = {
    packages_bucket          = "cemli-prod-packages"
    results_bucket           = "cemli-prod-results"
    state_bucket             = "cemli-prod-state"
    policies_bucket          = "cemli-prod-policies"
    lifecycle_results_bucket = "cemli-prod-results"
    secrets_compartment_id   = "ocid1.compartment.oc1..s"
    token_secret_id          = "ocid1.vaultsecret.oc1..token"
    token_secrets            = "target.secret.id='ocid1.vaultsecret.oc1..token'"
    build_secrets            = "target.secret.id='ocid1.vaultsecret.oc1..build'"
    topic_id                 = "ocid1.onstopic.oc1..all"
    failure_topic_id         = "ocid1.onstopic.oc1..failures"
    function_id              = "ocid1.fnfunc.oc1..f"
    schedules                = "request.principal.id='ocid1.resourceschedule.oc1..1'"
    event_compartments       = "request.principal.compartment.id='ocid1.compartment.oc1..s'"
    audit_compartment_id     = "ocid1.tenancy.oc1..t"
    metric_namespace         = "cemli_executor"
    log_group_id             = "ocid1.loggroup.oc1..logs"
    uploads_log_group_id     = "ocid1.loggroup.oc1..uploads"
    write_log_group_id       = "ocid1.loggroup.oc1..uploads"
    runner_log_group_id      = "ocid1.loggroup.oc1..runners"
    runner_compartment_id    = "ocid1.compartment.oc1..r"
    jobs_bucket              = "cemli-prod-jobs"
    lifecycle_jobs_bucket    = "cemli-prod-jobs"
  }
  tags = { App = "cemli-executor" }
}

run "least_privilege" {
  assert {
    condition     = alltrue([for s in flatten(values(output.statements)) : !can(regex("(?i)all-resources|in tenancy|\\$\\{", s))])
    error_message = "no statement is about everything or the whole tenancy, and all placeholders are replaced"
  }
  assert {
    condition = alltrue([for s in flatten(values(output.statements)) :
      can(regex("request\\.principal\\.(id|compartment\\.id)=", s)) && can(regex("request\\.principal\\.type=", s)) if startswith(s, "Allow any-user")
    ])
    error_message = "whoever is allowed as any-user is one kind of resource, of this compartment or by its id"
  }
  assert {
    condition     = alltrue([for s in flatten(values(output.statements)) : strcontains(s, " where ") if startswith(s, "Allow service") && !startswith(s, "Allow service cloudEvents ")])
    error_message = "what a service may do is held to one resource, but for Events as older documentation has it"
  }
  assert {
    condition = alltrue([for s in flatten(values(output.statements)) :
      can(regex("any \\{(request\\.permission='OBJECT_(INSPECT|READ|CREATE|OVERWRITE)'(, )?)+\\}", s)) if can(regex("^Allow group .* manage objects ", s))
    ])
    error_message = "people never delete objects"
  }
}

run "the_function" {
  assert {
    condition = [for s in output.statements.function : s if can(regex(" manage ", s))] == [
      "Allow dynamic-group cemli-prod-function to manage objects in compartment id ocid1.compartment.oc1..c where all {target.bucket.name='cemli-prod-results', request.permission='OBJECT_CREATE'}",
      "Allow dynamic-group cemli-prod-function to manage objects in compartment id ocid1.compartment.oc1..c where all {target.bucket.name='cemli-prod-state', any {request.permission='OBJECT_INSPECT', request.permission='OBJECT_READ', request.permission='OBJECT_CREATE', request.permission='OBJECT_OVERWRITE', request.permission='OBJECT_DELETE'}}",
      "Allow dynamic-group cemli-prod-function to manage objects in compartment id ocid1.compartment.oc1..c where all {target.bucket.name='cemli-prod-jobs', any {request.permission='OBJECT_INSPECT', request.permission='OBJECT_READ', request.permission='OBJECT_CREATE', request.permission='OBJECT_OVERWRITE'}}",
      "Allow dynamic-group cemli-prod-function to manage buckets in compartment id ocid1.compartment.oc1..c where all {target.bucket.name='cemli-prod-jobs', request.permission='PAR_MANAGE'}",
    ]
    error_message = "the function creates results, never overwrites or deletes them, and manages its state, and mailboxes of jobs, only"
  }
  assert {
    condition     = !anytrue([for s in output.statements.function : can(regex(" (use|manage) ", s)) && strcontains(s, "-packages")])
    error_message = "packages are read"
  }
  assert {
    condition     = alltrue([for s in output.statements.function : can(regex("(oc1..c where target.function.id='ocid1.fnfunc.oc1..f'|oc1..r where target.function.id='ocid1.fnfunc.oc1..runner')$", s)) if can(regex(" fn-", s))])
    error_message = "the function may invoke itself and its runner, and no other"
  }
  assert {
    condition     = oci_identity_policy.this["function"].statements == tolist(output.statements.function)
    error_message = "what is deployed are these statements"
  }
  assert {
    condition     = length(output.statements.function) == length(jsondecode(file("./statements.json")))
    error_message = "all of the function's statements are deployed"
  }
  assert {
    condition     = oci_identity_dynamic_group.this["function"].matching_rule == "ALL {resource.type='fnfunc', resource.compartment.id='ocid1.compartment.oc1..c'}"
    error_message = "only functions, only of this compartment"
  }
}

run "encryption" {
  assert {
    condition     = oci_identity_policy.encryption[0].statements == tolist(["Allow service objectstorage-eu-frankfurt-1 to use keys in compartment id ocid1.compartment.oc1..s where all {target.key.id='ocid1.key.oc1..k', any {request.permission='KEY_INSPECT', request.permission='KEY_READ', request.permission='KEY_ENCRYPT', request.permission='KEY_DECRYPT'}}"])
    error_message = "Object Storage uses the one key"
  }
}

run "nobody_approves_what_they_start" {
  assert {
    condition     = [for s in flatten(values(output.statements)) : split(" to ", s)[0] if strcontains(s, "'ApproveDeployment'") && !strcontains(s, "!='ApproveDeployment'")] == ["Allow group 'Corp'/'cemli-approvers'"]
    error_message = "only approvers approve"
  }
  assert {
    condition     = alltrue([for s in flatten(values(output.statements)) : can(regex("where any \\{(request\\.operation='\\w+'(, )?)+\\}$", s)) if strcontains(s, "devops-deployment")])
    error_message = "what may be done with deployments is named"
  }
  assert {
    condition     = !anytrue([for s in flatten(values(output.statements)) : strcontains(s, "CreateDeployment") && strcontains(s, "approvers")])
    error_message = "approvers start nothing"
  }
}

run "nothing_more_than_the_environment_has" {
  variables {
    deploys = false
    builds  = false
    mirrors = false

    connects            = false
    encrypts            = false
    storage_key_id      = null
    keys_compartment_id = null

    images_compartment_id = null
    image_repository      = null

    groups = {}
    values = {
      packages_bucket          = "cemli-prod-packages"
      results_bucket           = "cemli-prod-results"
      state_bucket             = "cemli-prod-state"
      policies_bucket          = "cemli-prod-policies"
      lifecycle_results_bucket = null
      secrets_compartment_id   = null
      token_secret_id          = null
      token_secrets            = null
      build_secrets            = null
      topic_id                 = "ocid1.onstopic.oc1..all"
      failure_topic_id         = "ocid1.onstopic.oc1..failures"
      function_id              = null
      schedules                = null
      event_compartments       = null
      audit_compartment_id     = null
      metric_namespace         = "cemli_executor"
      log_group_id             = "ocid1.loggroup.oc1..logs"
      uploads_log_group_id     = "ocid1.loggroup.oc1..uploads"
      write_log_group_id       = null
      runner_log_group_id      = null
      runner_compartment_id    = null
      jobs_bucket              = null
      lifecycle_jobs_bucket    = "cemli-prod-jobs"
    }
    runner_function_ids = []
  }
  assert {
    condition     = keys(output.statements) == ["function", "images", "services"] && output.statements.images == [] && length(oci_identity_policy.images) == 0 && keys(oci_identity_policy.this) == ["function", "services"]
    error_message = "no policies for what is not there"
  }
  assert {
    condition     = !anytrue([for s in flatten(values(output.statements)) : can(regex("fn-|secret|keys|resourceschedule|to read log-content .*uploads|-results'$", s)) && !strcontains(s, "read objects")])
    error_message = "statements without their values are left out"
  }
  assert {
    condition     = keys(output.dynamic_groups) == ["cemli-prod-function"]
    error_message = "one dynamic group"
  }
  assert {
    condition     = [for s in flatten(values(output.statements)) : split(" to ", s)[0] if can(regex("-jobs'|runner|oc1..r ", s))] == ["Allow service objectstorage-eu-frankfurt-1"]
    error_message = "where steps run in the function nobody uses the bucket of jobs, which is emptied all the same"
  }
}

run "runners_are_granted_nothing" {
  variables {
    runner_function_ids = ["ocid1.fnfunc.oc1..runner", "ocid1.fnfunc.oc1..finance"]
  }
  assert {
    condition = [for s in output.statements.function : trimprefix(s, "Allow dynamic-group cemli-prod-function ") if strcontains(s, "oc1..r ")] == [
      "to read fn-function in compartment id ocid1.compartment.oc1..r where target.function.id='ocid1.fnfunc.oc1..runner'",
      "to read fn-function in compartment id ocid1.compartment.oc1..r where target.function.id='ocid1.fnfunc.oc1..finance'",
      "to use fn-invocation in compartment id ocid1.compartment.oc1..r where target.function.id='ocid1.fnfunc.oc1..runner'",
      "to use fn-invocation in compartment id ocid1.compartment.oc1..r where target.function.id='ocid1.fnfunc.oc1..finance'",
    ]
    error_message = "the executor invokes each runner"
  }
  assert {
    condition     = length([for s in flatten(values(output.statements)) : s if strcontains(s, "fn-invocation") && can(regex("oc1..(r |runner|finance)", s))]) == 2
    error_message = "and nobody else does"
  }
  assert {
    condition     = length([for s in output.statements.devops : s if can(regex("oc1\\.\\.r( |$)", s))]) == 3
    error_message = "the pipeline finds the runners' applications, and updates each"
  }
  assert {
    condition     = alltrue([for rule in values(output.dynamic_groups) : strcontains(rule, "resource.compartment.id='ocid1.compartment.oc1..c'")])
    error_message = "no dynamic group takes what is in the runners' compartment"
  }
}

run "refuses_runners_that_are_taken_for_the_executor" {
  command = plan
  variables {
    compartment_id = "ocid1.compartment.oc1..r"
  }
  expect_failures = [oci_identity_policy.this]
}

run "refuses_them_where_somebody_else_owns_iam" {
  command = plan
  variables {
    create         = false
    compartment_id = "ocid1.compartment.oc1..r"
  }
  expect_failures = [output.handover]
}

run "a_platform_admin_owns_iam" {
  variables {
    create = false
  }
  assert {
    condition     = length(oci_identity_policy.this) + length(oci_identity_policy.images) == 0 && length(oci_identity_dynamic_group.this) == 0
    error_message = "nothing is created"
  }
  assert {
    condition     = alltrue([for s in flatten(values(output.statements)) : strcontains(output.handover, s)]) && alltrue([for rule in values(output.dynamic_groups) : strcontains(output.handover, rule)])
    error_message = "the text to hand over has all of it"
  }
}

run "refuses_one_group_for_both" {
  command = plan
  variables {
    groups = { promotion = "cemli-team", approvers = "cemli-team" }
  }
  expect_failures = [oci_identity_policy.this]
}

run "refuses_one_group_for_both_where_somebody_else_owns_iam" {
  command = plan
  variables {
    create = false
    groups = { promotion = "cemli-team", approvers = "cemli-team" }
  }
  expect_failures = [output.handover]
}

run "who_writes_policies_does_nothing_else" {
  assert {
    condition = alltrue([for s in flatten(values(output.statements)) : startswith(s, "Allow group cemli-policies ")
    if can(regex(" (use|manage) ", s)) && strcontains(s, "-policies'")])
    error_message = "a group of its own writes policies"
  }
}

run "refuses_authors_who_write_policies" {
  command = plan
  variables {
    groups = { authors = "cemli-team", policies = "cemli-team" }
  }
  expect_failures = [oci_identity_policy.this]
}

run "refuses_approvers_who_write_policies_where_somebody_else_owns_iam" {
  command = plan
  variables {
    create = false
    groups = { approvers = "cemli-team", policies = "cemli-team" }
  }
  expect_failures = [output.handover]
}
