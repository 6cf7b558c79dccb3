output "packages_bucket" {
  description = "Name of the bucket that packages are uploaded to."
  value       = oci_objectstorage_bucket.this["packages"].name
}

output "results_bucket" {
  description = "Name of the bucket with the evidence."
  value       = oci_objectstorage_bucket.this["results"].name
}

output "state_bucket" {
  description = "Name of the bucket with what runs have to know of each other."
  value       = oci_objectstorage_bucket.this["state"].name
}

output "policies_bucket" {
  description = "Name of the bucket with the admission policy."
  value       = oci_objectstorage_bucket.this["policies"].name
}

output "jobs_bucket" {
  description = "Name of the bucket with the mailboxes of jobs."
  value       = oci_objectstorage_bucket.jobs.name
}

output "results_retention_days" {
  description = "How long evidence cannot be changed or deleted; null: there is no retention rule."
  value       = one([for rule in oci_objectstorage_bucket.this["results"].retention_rules : tonumber(rule.duration[0].time_amount)])
}
