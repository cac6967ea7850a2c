# For administrators of the vault: policies, roles, tokens, leases, sealing. No secret, and no database login.
# Whoever writes policies can give rights to others: every change is in the audit log.

path "sys/policies/acl" {
  capabilities = ["list", "read"]
}
path "sys/policies/acl/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/peer/role" {
  capabilities = ["list", "read"]
}
path "auth/peer/role/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/token/create" {
  capabilities = ["update"]
}
path "auth/token/lookup" {
  capabilities = ["update"]
}
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update", "sudo"]
}
path "sys/leases/revoke" {
  capabilities = ["update", "sudo"]
}
path "sys/leases/revoke/*" {
  capabilities = ["update", "sudo"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
path "sys/auth" {
  capabilities = ["read", "sudo"]
}
path "sys/audit" {
  capabilities = ["read", "sudo"]
}
path "sys/audit/status" {
  capabilities = ["read"]
}
path "sys/seal" {
  capabilities = ["update", "sudo"]
}
path "secret/*" {
  capabilities = ["deny"]
}
path "database/creds/*" {
  capabilities = ["deny"]
}
