# For people and services that use connections. What each of them may do with which connection its owner says, with
# `coffre connection permissions`; without a right there this policy alone opens nothing.

path "connectors/connections" {
  capabilities = ["list"]
}
path "connectors/connections/*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "connectors/creds/*" {
  capabilities = ["read"]
}
path "connectors/rotations" {
  capabilities = ["read"]
}
path "connectors/approvals" {
  capabilities = ["list"]
}
path "connectors/approvals/*" {
  capabilities = ["read", "update"]
}
path "connectors/catalogue" {
  capabilities = ["list", "read"]
}
path "connectors/catalogue/*" {
  capabilities = ["read"]
}
path "sys/control-group/*" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
