# For compliance officers: the state of the log, who may do what, and nothing of what is kept.
# The log itself is read from its files, as a member of the group coffre-audit; what is done with it is recorded here.

path "sys/audit" {
  capabilities = ["read", "sudo"]
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
path "sys/audit/verified" {
  capabilities = ["update"]
}
path "sys/audit/export" {
  capabilities = ["update"]
}
# Holds keep evidence beyond its time; pruning by hand, erasing cards and naming people stay with administrators.
path "sys/audit/holds" {
  capabilities = ["read", "list", "update", "sudo"]
}
path "sys/audit/holds/*" {
  capabilities = ["delete", "sudo"]
}
path "sys/audit/prune" {
  capabilities = ["read", "sudo"]
}
path "sys/policies/acl" {
  capabilities = ["list", "read"]
}
path "sys/policies/acl/*" {
  capabilities = ["read"]
}
path "auth/peer/role" {
  capabilities = ["list", "read"]
}
path "auth/peer/role/*" {
  capabilities = ["read"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read", "sudo"]
}
