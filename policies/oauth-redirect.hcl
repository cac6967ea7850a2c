# For the web server that takes the answers of OAuth providers back (systemd/oauth-redirect.nginx.conf): it hands in
# what a browser brought, for consents that others have begun, and can do nothing else.

path "connectors/oauth/complete" {
  capabilities = ["update", "sudo"]
}
