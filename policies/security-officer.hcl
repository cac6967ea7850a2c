# For whoever looks after anomalies: incidents, mutes and decoys, the log behind them, and who an identity of the log is.
# No secret. Nobody with this policy judges an incident of his own.

path "sys/anomalies" {
  capabilities = ["read", "list"]
}
path "sys/anomalies/*" {
  capabilities = ["read", "list", "update", "delete"]
}
path "sys/decoys" {
  capabilities = ["read", "list", "sudo"]
}
path "sys/decoys/*" {
  capabilities = ["read", "update", "delete", "sudo"]
}
path "sys/audit/status" {
  capabilities = ["read"]
}
path "sys/audit/log" {
  capabilities = ["read"]
}
path "sys/audit/why/*" {
  capabilities = ["read"]
}
# Whose name is asked for is in the log, like everything else.
path "sys/audit/subject/*" {
  capabilities = ["read", "sudo"]
}
path "sys/metrics" {
  capabilities = ["read"]
}
