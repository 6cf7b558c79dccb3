# Where packages and images pass before prod.
environment            = "test"
create_vault           = true
policy_object          = "test.json"
results_retention_days = 90
run_files_delete_days  = 180
log_retention_days     = 90
