#!/usr/bin/env bash
# Loads coffred and the real OpenBao over their Unix sockets in one run, and prints a table with ratios.
# COFFRE_BENCH_SCALE divides the number of requests (default 1).
set -euo pipefail
cd "$(dirname "$0")/../.."
scale=${COFFRE_BENCH_SCALE:-1}
bin=$PWD/.build/release
bao=$PWD/.cache/venv/bin/bao
[ -x "$bao" ] || bao=${COFFRE_TEST_BAO:-$bao}
work=$(mktemp -d /tmp/coffre-bench-XXXXXX)
chmod 700 "$work"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

echo "== starting coffred and OpenBao" >&2
env -u XDG_RUNTIME_DIR "$bin/coffred" --dev > "$work/coffred.out" 2>&1 &
pids+=($!)
coffred=$!
mkdir "$work/raft"
cat > "$work/bao.hcl" <<HCL
storage "raft" {
  path = "$work/raft"
  node_id = "bench"
}
listener "unix" {
  address = "$work/bao.sock"
  socket_mode = "0600"
  tls_disable = true
}
listener "tcp" {
  address = "127.0.0.1:18200"
  cluster_address = "127.0.0.1:18201"
  tls_disable = true
}
api_addr = "http://127.0.0.1:18200"
cluster_addr = "https://127.0.0.1:18201"
disable_mlock = true
log_level = "error"
audit "file" "main" {
  options {
    file_path = "$work/bao-audit.log"
  }
}
HCL
"$bao" server -config="$work/bao.hcl" > "$work/bao.out" 2>&1 &
pids+=($!)
server=$!
for _ in $(seq 100); do
    [ -S "$work/bao.sock" ] && grep -q '^root token' "$work/coffred.out" && break
    sleep 0.1
done
export BAO_ADDR=unix://$work/bao.sock
"$bao" operator init -key-shares=1 -key-threshold=1 -format=json > "$work/init.json"
get() { python3 -c "import json;print(json.load(open('$work/init.json'))$1)"; }
"$bao" operator unseal "$(get '["unseal_keys_b64"][0]')" > /dev/null
export BAO_TOKEN
BAO_TOKEN=$(get '["root_token"]')
for _ in $(seq 50); do "$bao" secrets enable -path=secret -version=2 kv > /dev/null 2>&1 && break; sleep 0.2; done

coffre_socket=$(sed -n 's/^socket: //p' "$work/coffred.out")
coffre_token=$(sed -n 's/^root token: //p' "$work/coffred.out")
printf '{"data":{"user":"app","password":"hunter2","host":"db.example"}}' > "$work/body"
put() { curl --silent --fail --unix-socket "$1" -H "X-Vault-Token: $2" -d @"$work/body" http://localhost/v1/secret/data/app/db > /dev/null; }
sleep 1
put "$work/bao.sock" "$BAO_TOKEN"
put "$coffre_socket" "$coffre_token"

load() { # socket token connections requests [body] -> "rate mean max"
    h2load --h1 -B "unix:$1" -H "X-Vault-Token: $2" -n "$4" -c "$3" -t 1 ${5:+-d "$5" -H "Content-Type: application/json"} \
        http://localhost/v1/secret/data/app/db > "$work/load"
    grep -q " 0 failed, 0 errored" "$work/load" && grep -q " 0 3xx, 0 4xx, 0 5xx" "$work/load" \
        || { cat "$work/load" >&2; exit 1; }
    awk '/^finished in/ { rate = $4 } /^time for request/ { print rate, $6, $5 }' "$work/load"
}
row() { # name connections requests [body]
    local ours theirs
    load "$coffre_socket" "$coffre_token" "$2" $(($3 / 10 + $2)) ${4:+"$4"} > /dev/null
    load "$work/bao.sock" "$BAO_TOKEN" "$2" $(($3 / 10 + $2)) ${4:+"$4"} > /dev/null
    theirs=$(load "$work/bao.sock" "$BAO_TOKEN" "$2" "$3" ${4:+"$4"})
    ours=$(load "$coffre_socket" "$coffre_token" "$2" "$3" ${4:+"$4"})
    echo "$ours $theirs" | awk -v name="$1" '{ printf "| %s | %d/s, mean %s, worst %s | %d/s, mean %s, worst %s | %.2f x |\n", name, $4, $5, $6, $1, $2, $3, $1 / $4 }'
}
sync_cost() {
    python3 - "$work/sync" <<'PY'
import os, sys, time
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
times = []
for index in range(500):
    os.pwrite(fd, b"x" * 700, index * 700)
    start = time.perf_counter()
    os.fdatasync(fd)
    times.append(time.perf_counter() - start)
print("%.0f" % (sorted(times)[250] * 1e6))
PY
}
echo "== measuring; this takes some minutes" >&2
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, one \`fdatasync\` $(sync_cost) µs (median)."
echo
echo "| Work | OpenBao 2.7.2 | Coffre | Ratio |"
echo "|---|---|---|---|"
row "KV v2 read, 1 connection" 1 $((6000 / scale))
row "KV v2 read, 8 connections" 8 $((24000 / scale))
row "KV v2 read, 32 connections" 32 $((40000 / scale))
row "KV v2 read, 64 connections" 64 $((40000 / scale))
row "KV v2 write, 1 connection" 1 $((1500 / scale)) "$work/body"
row "KV v2 write, 16 connections" 16 $((5000 / scale)) "$work/body"
row "KV v2 write, 64 connections" 64 $((8000 / scale)) "$work/body"
load "$coffre_socket" "$coffre_token" 32 $((100000 / scale)) > /dev/null
load "$work/bao.sock" "$BAO_TOKEN" 32 $((100000 / scale)) > /dev/null
memory() { awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status"; }
echo "| Resident memory after $((100000 / scale)) more reads | $(memory "$server") MB | $(memory "$coffred") MB | |"
