# For a service that reads the secrets below secret/services/ and takes database logins. Copy it and narrow the paths.

path "secret/data/services/*" {
  capabilities = ["read"]
}
path "secret/metadata/services/*" {
  capabilities = ["read", "list"]
}
path "database/creds/+" {
  capabilities = ["read"]
}
