#!/bin/bash
# Runs inside the container: one line a check, "ok NAME" or "not ok NAME: detail".
set -u
export COFFRE_SOCKET=/run/coffre/coffre.sock
say() { echo "$*"; }
check() { # name, command
    local name=$1 detail
    shift
    if detail=$("$@" 2>&1); then say "ok $name"; else say "not ok $name: $(echo "$detail" | tr '\n' ' ' | cut -c1-400)"; fi
}
api() { # method path [body] [token]: as root
    curl --silent --show-error --fail-with-body --max-time 20 --unix-socket $COFFRE_SOCKET -X "$1" \
        ${4:+-H "X-Vault-Token: $4"} ${3:+--data "$3"} "http://localhost/v1/$2"
}
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }

useradd --system --user-group payroll; usermod -aG coffre-clients payroll
useradd --system --user-group stranger
useradd --uid 1500 --user-group officer; usermod -aG coffre-audit officer

check socket-active systemctl is-active coffred.socket
check broker-active systemctl is-active coffre-broker.service
is_inactive() { [ "$(systemctl is-active coffred.service)" = inactive ]; }
check daemon-waits-for-a-connection is_inactive
check socket-mode test "$(stat -c '%a %U %G' /run/coffre/coffre.sock)" = "660 coffre coffre-clients"
check socket-activation api GET sys/seal-status
check daemon-active systemctl is-active coffred.service
if [ "$(systemctl is-active coffred.service)" != active ]; then
    journalctl --no-pager -u coffred.service | tail -n 40 >&2
    say "done"
    exit 1
fi

init=$(api PUT sys/init '{"secret_shares":3,"secret_threshold":2}')
token=$(echo "$init" | field '["root_token"]')
check init test -n "$token"
for index in 0 1; do api PUT sys/unseal "{\"key\":\"$(echo "$init" | field "[\"keys\"][$index]")\"}" > /dev/null; done
unsealed() { [ "$(api GET sys/seal-status | field '["sealed"]')" = False ]; }
check unseal unsealed

api PUT secret/data/payroll '{"data":{"password":"canary-in-the-vault"}}' "$token" > /dev/null
api PUT sys/policies/acl/payroll '{"policy":"path \"secret/data/payroll\" { capabilities = [\"read\"] }"}' "$token" > /dev/null
api PUT auth/peer/role/payroll "{\"bound_units\":[\"payroll.service\"],\"bound_uids\":[$(id -u payroll)],\"policies\":[\"payroll\"]}" "$token" > /dev/null
run() { systemd-run --quiet --wait --pipe --collect --unit="$1" --property=User="$2" "${@:3}"; }
reads() { run payroll.service payroll curl -s --max-time 20 --unix-socket $COFFRE_SOCKET http://localhost/v1/secret/data/payroll | grep -q canary-in-the-vault; }
check unit-reads-a-secret reads
other_unit() { run other.service payroll curl -s --max-time 20 --unix-socket $COFFRE_SOCKET http://localhost/v1/secret/data/payroll | grep -q 'permission denied'; }
check other-unit-is-refused other_unit
names_both() { grep -h '"secret.read"' /var/lib/coffre-audit/seg/*/*/*/*.jsonl | grep "\"uid\":$(id -u payroll)" | grep -q '"unit":"payroll.service"'; }
check record-names-uid-and-unit names_both

denied() { # user, path: EACCES, and nothing else
    setpriv --reuid "$1" --regid "$1" --init-groups python3 - "$2" <<'PY'
import errno, os, socket, sys
path = sys.argv[1]
try:
    if path.endswith(".sock"):
        socket.socket(socket.AF_UNIX).connect(path)
    else:
        os.listdir(path)
except OSError as error:
    sys.exit(0 if error.errno == errno.EACCES else str(error))
sys.exit("was let in")
PY
}
check client-has-no-log denied payroll /var/lib/coffre-audit
check client-has-no-state denied payroll /var/lib/coffre
check client-has-no-broker denied payroll /run/coffre-broker/broker.sock
check stranger-has-no-socket denied stranger /run/coffre/coffre.sock
officer_reads() { setpriv --reuid officer --regid officer --init-groups sh -c 'cat /var/lib/coffre-audit/seg/*/*/*/*.jsonl' | grep -q genesis; }
check officer-reads-the-log officer_reads
check audit-folder-mode test "$(stat -c '%a %U %G' /var/lib/coffre-audit)" = "2750 coffre coffre-audit"
check state-folder-mode test "$(stat -c '%a %U' /var/lib/coffre)" = "700 coffre"

# Snapshots, by the unit of the timer, whose user may do nothing else.
policy=$(python3 -c 'import json; print(json.dumps({"policy": open("/usr/share/coffre/policies/backup.hcl").read()}))')
api PUT sys/policies/acl/backup "$policy" "$token" > /dev/null
api PUT auth/peer/role/backup "{\"bound_units\":[\"coffre-backup.service\"],\"bound_uids\":[$(id -u coffre-backup)],\"policies\":[\"backup\"]}" "$token" > /dev/null
takes() { systemctl start coffre-backup.service || { journalctl --no-pager -o cat -u coffre-backup.service | tail -n 5; return 1; }; }
check backup-unit-takes-a-snapshot takes
whole() { coffre operator snapshot inspect /var/lib/coffre-backup/coffre-*.tar && [ "$(stat -c '%a %U' /var/lib/coffre-backup)" = "700 coffre-backup" ]; }
check snapshot-is-whole whole
check client-has-no-snapshot denied payroll /var/lib/coffre-backup

pid=$(systemctl show -P MainPID coffred.service)
only_loopback() { [ "$(tail -n +3 /proc/$pid/net/dev | sed 's/:.*//' | tr -d ' ')" = lo ]; }
check no-network-interface only_loopback
other_network() { [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/1/ns/net)" ]; }
check own-network-namespace other_network
# The unit's own restrictions, applied to a program that tries.
restrictions=$(systemctl cat coffred.service | grep -E '^(PrivateNetwork|RestrictAddressFamilies|SystemCallFilter|SystemCallErrorNumber|SystemCallArchitectures|NoNewPrivileges|User|Group)=' | sed 's/^/--property=/')
no_inet() {
    local IFS=$'\n'
    # shellcheck disable=SC2086
    systemd-run --quiet --wait --pipe --collect $restrictions python3 -c '
import socket, sys
for family in (socket.AF_INET, socket.AF_INET6):
    try:
        socket.socket(family)
    except OSError:
        continue
    sys.exit("a network socket could be opened")
socket.socket(socket.AF_UNIX)'
}
check no-network-socket no_inet
check seccomp-is-on grep -q '^Seccomp:.*2' /proc/$pid/status
locked() { [ "$(awk "/^VmLck/ {print \$2}" /proc/$pid/status)" -ge 1800 ] || { grep -E "VmLck" /proc/$pid/status; grep -i locked /proc/$pid/limits /proc/1/limits; return 1; }; }
check memory-is-locked locked
check no-core-file grep -q '^Max core file size *0 *0' /proc/$pid/limits

# A second organisation, whose vault opens by an encrypted credential.
instance() {
    mkdir -p /etc/sysusers.d
    cat > /etc/sysusers.d/acme.conf <<'CONF'
u coffre-acme - "Coffre vault of acme" /var/lib/coffre-acme
u coffre-broker-acme - "Coffre broker of acme" /var/lib/coffre-broker-acme
g coffre-acme-clients -
g coffre-acme-audit -
m coffre-acme coffre-acme-audit
CONF
    systemd-sysusers
    install -d -m 2750 -o coffre-acme -g coffre-acme-audit /var/lib/coffre-acme-audit
    cat > /etc/coffre/acme.toml <<'TOML'
[listener]
group = "coffre-acme-clients"
[seal]
type = "credential"
[audit]
directory = "/var/lib/coffre-acme-audit"
[broker]
socket = "/run/coffre-broker-acme/broker.sock"
user = "coffre-broker-acme"
TOML
    printf 'socket = "/run/coffre-broker-acme/broker.sock"\ncoffred_user = "coffre-acme"\n' > /etc/coffre/acme-broker.toml
    mkdir -p /etc/systemd/system/coffred@acme.service.d
    printf '[Service]\n' > /etc/systemd/system/coffred@acme.service.d/seal.conf
    for name in coffre.unseal coffre.audit; do
        head -c 32 /dev/urandom | systemd-creds encrypt --with-key=host --name=$name - /etc/coffre/acme.$name.cred
        echo "LoadCredentialEncrypted=$name:/etc/coffre/acme.$name.cred" >> /etc/systemd/system/coffred@acme.service.d/seal.conf
    done
    systemctl daemon-reload
    systemctl start coffre-broker@acme.service coffred@acme.socket && systemctl start coffred@acme.service
}
check instance-starts instance
acme() { COFFRE_SOCKET=/run/coffre-acme/coffre.sock api "$@"; }
open_acme() { [ "$(acme GET sys/seal-status | field '["sealed"]')" = False ]; }
reopens() {
    acme PUT sys/init '{"recovery_shares":3,"recovery_threshold":2}' | grep -q '"root_token"' && open_acme \
        && systemctl restart coffred@acme.service && open_acme
}
check instance-unseals-by-credential reopens
check instance-state-is-closed-to-the-other denied coffre /var/lib/coffre-acme
check instance-log-is-closed-to-the-other denied coffre /var/lib/coffre-acme-audit
check instance-broker-is-closed-to-the-other denied coffre /run/coffre-broker-acme/broker.sock
acme_stops() { systemctl stop coffred@acme.service coffred@acme.socket coffre-broker@acme.service && [ "$(systemctl show -P Result coffred@acme.service)" = success ]; }
acme_group() { [ "$(find /var/lib/coffre-acme-audit/seg -name '*.jsonl' -printf '%g %m\n' | sort -u)" = "coffre-acme-audit 640" ]; }
check instance-log-belongs-to-its-officers acme_group
check instance-stops acme_stops

watched() { [ "$(systemctl show -P WatchdogUSec coffred.service)" = 2s ] && sleep 5 && [ "$(systemctl show -P NRestarts coffred.service)" = 0 ] && [ "$(systemctl show -P MainPID coffred.service)" = "$pid" ]; }
check watchdog-is-fed watched
hangs() { kill -STOP "$pid"; for _ in $(seq 80); do sleep 0.1; [ "$(systemctl show -P NRestarts coffred.service)" -ge 1 ] && return 0; done; systemctl show coffred.service -p NRestarts,Result,MainPID; return 1; }
check watchdog-restarts-a-hanging-daemon hangs
for _ in $(seq 50); do api GET sys/seal-status > /dev/null && break; sleep 0.1; done

stops() { systemctl stop coffred.service coffred.socket && [ "$(systemctl show -P Result coffred.service)" = success ] && [ "$(systemctl show -P ExecMainStatus coffred.service)" = 0 ]; }
check stop-is-clean stops
verifies() { python3 /usr/local/lib/verify_log.py /var/lib/coffre-audit | grep -q '"valid": true' && coffre audit verify /var/lib/coffre-audit; }
check log-verifies verifies
no_canary() { ! grep -rqs canary-in-the-vault /var/lib/coffre /var/lib/coffre-backup /var/lib/coffre-audit /var/lib/coffre-broker /var/log/journal /run/log/journal; }
check no-canary-anywhere no_canary
restores() { coffre operator restore --state-directory /var/lib/coffre /var/lib/coffre-backup/coffre-*.tar && [ "$(stat -c '%a %U' /var/lib/coffre/coffre.db)" = "600 coffre" ]; }
check root-restores-for-the-daemon restores
holds() {
    systemctl start coffred.socket || return 1
    for index in 0 1; do api PUT sys/unseal "{\"key\":\"$(echo "$init" | field "[\"keys\"][$index]")\"}" > /dev/null; done
    [ "$(api GET sys/restore/status | field '["data"]["hold"]')" = True ] && coffre operator restore-confirm && run payroll.service payroll \
        curl -s --max-time 20 --unix-socket $COFFRE_SOCKET http://localhost/v1/secret/data/payroll | grep -q canary-in-the-vault
}
check a-restored-vault-holds-then-serves holds
check broker-stops systemctl stop coffre-broker.service
say "done"
