# Where packages are tried out, and the image is built.
environment            = "dev"
build                  = true
create_vault           = true
policy_object          = "dev.json"
results_retention_days = 30
run_files_delete_days  = 90
log_retention_days     = 30
