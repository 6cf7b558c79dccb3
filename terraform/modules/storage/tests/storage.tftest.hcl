mock_provider "oci" {}

variables {
  compartment_id         = "ocid1.compartment.oc1..c"
  namespace              = "ns"
  environment            = "dev"
  results_retention_days = 30
  tags                   = { App = "cemli-executor" }
}

run "no_bucket_is_public" {
  assert {
    condition     = alltrue([for bucket in oci_objectstorage_bucket.this : bucket.access_type == "NoPublicAccess"])
    error_message = "no bucket may be public"
  }
  assert {
    condition     = [for bucket in oci_objectstorage_bucket.this : bucket.name] == ["cemli-dev-packages", "cemli-dev-policies", "cemli-dev-results", "cemli-dev-state"]
    error_message = "the names follow the environment"
  }
  assert {
    condition     = alltrue([for bucket in oci_objectstorage_bucket.this : bucket.freeform_tags["App"] == "cemli-executor"])
    error_message = "all buckets are tagged"
  }
}

run "what_is_kept" {
  assert {
    condition     = { for name, bucket in oci_objectstorage_bucket.this : name => bucket.versioning } == { packages = "Enabled", policies = "Enabled", results = "Disabled", state = "Enabled" }
    error_message = "packages, policies and state keep versions; results cannot be changed at all"
  }
}

run "evidence_is_immutable" {
  assert {
    condition     = length(oci_objectstorage_bucket.this["results"].retention_rules) == 1 && output.results_retention_days == 30
    error_message = "the results bucket has a retention rule"
  }
  assert {
    condition     = oci_objectstorage_bucket.this["results"].versioning == "Disabled"
    error_message = "versioning and retention exclude each other"
  }
  assert {
    condition     = alltrue([for name, bucket in oci_objectstorage_bucket.this : length(bucket.retention_rules) == 0 if name != "results"])
    error_message = "only results are retained: state has to be rewritten"
  }
}

run "only_packages_send_events" {
  assert {
    condition     = [for name, bucket in oci_objectstorage_bucket.this : name if bucket.object_events_enabled] == ["packages"]
    error_message = "only the packages bucket sends events"
  }
}

run "lifecycle_never_touches_results" {
  variables {
    run_files_archive_days = 90
    run_files_delete_days  = 400
  }
  assert {
    condition     = length(oci_objectstorage_object_lifecycle_policy.results[0].rules) == 2
    error_message = "artifacts and logs are archived and deleted"
  }
  assert {
    condition = alltrue([for rule in oci_objectstorage_object_lifecycle_policy.results[0].rules :
      rule.object_name_filter[0].inclusion_patterns == toset(["runs/*/artifacts/*", "runs/*/steps/*"]) &&
      contains(rule.object_name_filter[0].exclusion_patterns, "runs/*/result.json")
    ])
    error_message = "rules name the folders of artifacts and logs, and nothing else"
  }
}

run "no_lifecycle_unless_asked" {
  assert {
    condition     = length(oci_objectstorage_object_lifecycle_policy.results) == 0
    error_message = "by default nothing of a run is archived or deleted"
  }
}

run "refuses_to_delete_what_is_retained" {
  command = plan
  variables {
    run_files_delete_days = 30
  }
  expect_failures = [oci_objectstorage_object_lifecycle_policy.results]
}

run "refuses_no_retention" {
  command = plan
  variables {
    results_retention_days = 0
  }
  expect_failures = [var.results_retention_days]
}

run "a_key_of_ones_own" {
  variables {
    kms_key_id = "ocid1.key.oc1..k"
  }
  assert {
    condition     = alltrue([for bucket in concat(values(oci_objectstorage_bucket.this), [oci_objectstorage_bucket.jobs]) : bucket.kms_key_id == "ocid1.key.oc1..k"])
    error_message = "all buckets are encrypted with it"
  }
}

run "jobs_leave_nothing" {
  assert {
    condition     = output.jobs_bucket == "cemli-dev-jobs" && oci_objectstorage_bucket.jobs.access_type == "NoPublicAccess"
    error_message = "jobs have a private bucket of their own"
  }
  assert {
    condition     = oci_objectstorage_bucket.jobs.versioning == "Disabled" && !oci_objectstorage_bucket.jobs.object_events_enabled
    error_message = "without versions, which would stay, and without events"
  }
  assert {
    condition     = sort([for rule in oci_objectstorage_object_lifecycle_policy.jobs.rules : "${rule.action} ${rule.target} ${rule.time_amount} ${rule.time_unit} ${rule.is_enabled} ${length(rule.object_name_filter)}"]) == sort(["DELETE objects 7 DAYS true 0", "ABORT multipart-uploads 1 DAYS true 0"])
    error_message = "all of it is deleted after a week"
  }
}

run "jobs_elsewhere" {
  variables {
    jobs_bucket_name = "jobs-of-dev"
  }
  assert {
    condition     = oci_objectstorage_bucket.jobs.name == "jobs-of-dev" && oci_objectstorage_object_lifecycle_policy.jobs.bucket == "jobs-of-dev"
    error_message = "the bucket has the name that is asked for"
  }
}

run "refuses_jobs_among_results" {
  command = plan
  variables {
    jobs_bucket_name = "cemli-dev-results"
  }
  expect_failures = [oci_objectstorage_bucket.jobs]
}
