# For compliance officers: the state of the log, who may do what, and nothing of what is kept.
# The log itself is read from its files, as a member of the group coffre-audit.

path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "sys/audit/status" {
  capabilities = ["read"]
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
