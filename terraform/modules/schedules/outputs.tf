output "schedule_ids" {
  description = "OCIDs of the schedules, the principals that need to invoke the function."
  value       = [for schedule in oci_resource_scheduler_schedule.this : schedule.id]
}
