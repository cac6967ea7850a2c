# For whoever sets up database configurations and roles. Takes no login and reads no stored secret.

path "database/config/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "database/config" {
  capabilities = ["list"]
}
path "database/roles/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "database/roles" {
  capabilities = ["list"]
}
path "database/creds/*" {
  capabilities = ["deny"]
}
path "sys/mounts" {
  capabilities = ["read"]
}
