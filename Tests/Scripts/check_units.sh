#!/usr/bin/env bash
# The units are clean for systemd-analyze, and as hardened as the README says.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "== units"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make --silent install DESTDIR="$root" >/dev/null
# verify wants the programs where ExecStart= says: point copies at the staged ones.
install -d "$root/check"
for unit in systemd/*.service systemd/*.socket systemd/*.timer; do
    sed "s|=/usr/\(s\?bin\)/|=$root/usr/\1/|" "$unit" > "$root/check/$(basename "$unit")"
done
cp "$root/check/coffred@.service" "$root/check/coffred@acme.service"
cp "$root/check/coffred@.socket" "$root/check/coffred@acme.socket"
cp "$root/check/coffre-broker@.service" "$root/check/coffre-broker@acme.service"
cp "$root/check/coffre-backup@.service" "$root/check/coffre-backup@acme.service"
cp "$root/check/coffre-backup@.timer" "$root/check/coffre-backup@acme.timer"
found=$(SYSTEMD_UNIT_PATH="$root/check:" systemd-analyze verify --man=no --recursive-errors=no \
    "$root"/check/{coffred,coffre-broker,coffre-backup,coffred@acme,coffre-broker@acme,coffre-backup@acme}.service \
    "$root"/check/coffre-bridge.service "$root"/check/{coffred,coffred@acme,coffre-bridge}.socket "$root"/check/{coffre-backup,coffre-backup@acme}.timer 2>&1 | grep -F -e "$root/check" -e coffre || true)
if [ -n "$found" ]; then
    echo "systemd-analyze verify:" >&2
    echo "$found" >&2
    exit 1
fi
check() { # unit limit
    local exposure
    exposure=$(systemd-analyze security --offline=yes "$root/check/$1" | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    echo "exposure of $1: $exposure (limit $2)"
    awk -v a="$exposure" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 <= b + 0) }'
}
check coffred.service 0.6
check coffred@acme.service 0.6
check coffre-broker.service 2.0
check coffre-broker@acme.service 2.0
check coffre-backup.service 0.6
check coffre-bridge.service 0.6
check coffre-backup@acme.service 0.6
if grep -nE '^(PrivateUsers|ProtectProc|ProcSubset)=' systemd/coffred*.service; then
    echo "coffred must see foreign uids and units: these settings hide them" >&2
    exit 1
fi
