# Nothing is deployed without an approval, nothing runs without a policy, and evidence stays.
environment            = "prod"
create_vault           = true
storage_key            = true
key_protection         = "HSM"
policy_object          = "prod.json"
approvals              = 1
results_retention_days = 2557 # seven years
log_retention_days     = 180
