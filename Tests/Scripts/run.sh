#!/usr/bin/env bash
# An evaluation vault on this machine, as the calling user: state survives restarts, Ctrl-C stops both daemons.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077

bin=$PWD/.build/shipped/release
home=$(realpath --canonicalize-missing "${COFFRE_HOME:-$HOME/.local/share/coffre}")
run=${XDG_RUNTIME_DIR:-/tmp/coffre-$(id -u)}
[ -n "${XDG_RUNTIME_DIR:-}" ] && run=$run/coffre
uid=$(id -u)
socket=$run/coffre.sock

# Folders: the credentials lie beside the state, never inside it.
install -d -m 700 "$home" "$home/state" "$home/credentials" "$home/broker"
# The name of the run folder can be guessed: somebody else may have made it first.
[ -e "$run" ] || [ -L "$run" ] || mkdir -m 700 "$run"
if [ -L "$run" ] || [ "$(stat -c %u "$run")" != "$uid" ]; then
    echo "$run belongs to somebody else: set XDG_RUNTIME_DIR to a folder of your own" >&2
    exit 1
fi
chmod 700 "$run"
exec 9> "$home/lock"
flock --nonblock 9 || { echo "an evaluation vault is running on $home already: its socket is $socket" >&2; exit 1; }
for name in coffre.unseal coffre.audit; do
    [ -e "$home/credentials/$name" ] || head -c 32 /dev/urandom > "$home/credentials/$name"
done

cat > "$home/coffre.toml" <<TOML
state_directory = "$home/state"
[listener]
socket = "$socket"
mode = "0600"
group = ""
[seal]
type = "credential"
operators = [$uid]
[audit]
directory = "$home/audit"
preallocate = false
reserve_bytes = 1048576
[broker]
socket = "$run/broker.sock"
user = "$uid"
TOML
# These two files are made anew at each start: what somebody wants to try stands in anomaly.toml and broker-more.toml beside them.
if [ -e "$home/anomaly.toml" ]; then
    cat "$home/anomaly.toml" >> "$home/coffre.toml"
else
    cat >> "$home/coffre.toml" <<TOML
[anomaly]
# This set-up uses the root token itself, and so will whoever tries things: recorded, and told to nobody.
note = ["root_token_use"]
TOML
fi
cat > "$home/broker.toml" <<TOML
socket = "$run/broker.sock"
state_directory = "$home/broker"
coffred_user = "$uid"
allow = ["127.0.0.0/8", "[::1]"]
TOML
[ ! -e "$home/broker-more.toml" ] || cat "$home/broker-more.toml" >> "$home/broker.toml"

coffred=''
broker=''
stop() { # coffred first: what it has in hand may still need the broker
    trap '' INT TERM
    trap - EXIT
    local pid
    for pid in $coffred $broker; do
        kill -TERM "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    done
    rm -f "$socket" "$run/broker.sock"
}
trap 'stop; echo; echo "stopped"; exit 0' INT TERM
trap stop EXIT

# tee -i: Ctrl-C reaches the whole foreground, and what the daemons say while they stop shall not be lost.
"$bin/coffre-broker" --config "$home/broker.toml" 2> >(exec tee -i "$home/broker.log" >&2) 9>&- &
broker=$!
CREDENTIALS_DIRECTORY=$home/credentials "$bin/coffred" --config "$home/coffre.toml" \
    2> >(exec tee -i "$home/coffred.log" >&2) 9>&- &
coffred=$!

api() { # method path [body file]: the token, if any, comes from a file and never stands in an argument.
    local headers=()
    [ -e "$home/credentials/root-token" ] && headers=(-H "@$home/credentials/header")
    curl --silent --show-error --fail-with-body --unix-socket "$socket" -X "$1" "${headers[@]}" \
        ${3:+--data-binary "@$3"} "http://localhost/v1/$2"
}
for _ in $(seq 100); do
    [ -S "$socket" ] && curl --silent --unix-socket "$socket" http://localhost/v1/sys/seal-status >/dev/null && break
    kill -0 "$coffred" 2>/dev/null || { echo "coffred did not start; see above" >&2; exit 1; }
    sleep 0.1
done

if curl --silent --unix-socket "$socket" http://localhost/v1/sys/seal-status | grep -q '"initialized":false'; then
    echo '{"recovery_shares":5,"recovery_threshold":3}' > "$home/credentials/init.json"
    api PUT sys/init "$home/credentials/init.json" > "$home/credentials/init.out" \
        || { cat "$home/credentials/init.out" >&2; exit 1; }
    rm "$home/credentials/init.json"
    python3 - "$home/credentials" <<'PY'
import json, os, sys
folder = sys.argv[1]
answer = json.load(open(folder + "/init.out"))
with open(folder + "/root-token", "w") as file: file.write(answer["root_token"])
with open(folder + "/header", "w") as file: file.write("X-Vault-Token: " + answer["root_token"] + "\n")
print("\nRecovery shares: any 3 of these 5 open the vault if its credential is lost.")
print("They are shown this once. Write them down, keep them apart from this machine.\n")
for share in answer["recovery_keys_base64"]: print("    " + share)
PY
    rm "$home/credentials/init.out"
    printf '{"policy":"path \\"secret/*\\" { capabilities = [\\"create\\",\\"read\\",\\"update\\",\\"delete\\",\\"list\\"] } path \\"sys/audit/*\\" { capabilities = [\\"read\\",\\"update\\",\\"list\\",\\"delete\\",\\"sudo\\"] } path \\"sys/metrics\\" { capabilities = [\\"read\\"] } path \\"sys/anomalies*\\" { capabilities = [\\"read\\",\\"update\\",\\"list\\",\\"delete\\"] } path \\"sys/decoys*\\" { capabilities = [\\"read\\",\\"update\\",\\"list\\",\\"delete\\",\\"sudo\\"] } path \\"connectors/*\\" { capabilities = [\\"create\\",\\"read\\",\\"update\\",\\"delete\\",\\"list\\",\\"sudo\\"] }"}' > "$home/policy.json"
    api PUT sys/policies/acl/eval "$home/policy.json" >/dev/null
    printf '{"bound_uids":[%s],"policies":["eval"]}' "$uid" > "$home/policy.json"
    api PUT auth/peer/role/eval "$home/policy.json" >/dev/null
    rm "$home/policy.json"
fi

curl --silent --unix-socket "$socket" http://localhost/v1/sys/seal-status | grep -q '"sealed":false' \
    || { echo "the vault stays sealed: does $home/credentials still hold what it was initialised with?" >&2; exit 1; }

cat <<TEXT

Coffre is running: an evaluation set-up, both daemons as user $(id -un), keys in a file beside the state.

  socket      $socket
  state       $home
  root token  $home/credentials/root-token   (for policies and roles; your own uid has secret/, connections, audit and anomalies without it)

In another terminal, as this user:

  export COFFRE_SOCKET=$socket PATH=$bin:\$PATH
  coffre status
  printf %s 's3cret' | coffre kv put secret/payroll/db password=-
  coffre kv get secret/payroll/db
  curl --unix-socket $socket http://localhost/v1/secret/data/payroll/db

Verify the audit log, offline:

  coffre audit verify $home/audit

Ctrl-C stops both daemons; the next \`make run\` finds the same secrets.
TEXT
wait -n "$coffred" "$broker" || true
echo "a daemon ended; stopping the other" >&2
exit 1
