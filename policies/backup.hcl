# For the job that takes snapshots (coffre-backup.service). What it gets is ciphertext; it reads no secret.

path "sys/storage/snapshot" {
  capabilities = ["read", "sudo"]
}
