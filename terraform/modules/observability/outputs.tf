output "runs_topic_id" {
  description = "OCID of the topic for all runs."
  value       = oci_ons_notification_topic.this["runs"].id
}

output "failures_topic_id" {
  description = "OCID of the topic for failures, alarms, deployments and changes."
  value       = oci_ons_notification_topic.this["failures"].id
}

output "metric_namespace" {
  description = "Namespace of the metrics that are counted from the function's log."
  value       = local.metric_namespace
}

output "log_group_id" {
  description = "OCID of the group of logs."
  value       = oci_logging_log_group.this.id
}

output "uploads_log_group_id" {
  description = "OCID of the group that holds the write log of the packages bucket alone."
  value       = oci_logging_log_group.uploads.id
}

output "write_log" {
  description = "The packages bucket's write log, as the function's configuration names it: OCIDs of compartment, log group and log."
  value       = "${var.compartment_id}/${oci_logging_log_group.uploads.id}/${oci_logging_log.uploads.id}"
}

output "runner_log_group_id" {
  description = "OCID of the group that holds the logs of runners alone; null if there are none."
  value       = one(oci_logging_log_group.runners[*].id)
}
