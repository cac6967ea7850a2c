#!/usr/bin/env bash
# Boots a real systemd in a container with Coffre installed, runs boot_guest.sh in it, and leaves its results in FILE.
# usage: boot_test.sh FILE   (root, or sudo without a password; needs debootstrap and systemd-nspawn)
set -euo pipefail
results=$1
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2> /dev/null && exec sudo -n "$0" "$@"
    echo "only root can boot a container, and sudo would ask for a password: run 'sudo -v' before 'make test'" >&2
    exit 1
fi
mkdir -p .cache
exec 9> .cache/boot.lock
flock --wait 200 9 || { echo "another boot test holds .cache/boot.lock" >&2; exit 1; }

packages=systemd,systemd-sysv,dbus,libssl3,libsodium23,libsqlite3-0,libsystemd0,libpq5,curl,libstdc++6,python3
base=.cache/bookworm-root
if [ "$(cat "$base/.packages" 2> /dev/null)" != "$packages" ]; then
    echo "== making a Debian 12 for the container (once)"
    mirror=$(grep -hs -m1 '^URIs:' /etc/apt/sources.list.d/*.sources | awk '{print $2}')
    [ -n "$mirror" ] || mirror=$(grep -hs -m1 '^deb http' /etc/apt/sources.list | awk '{print $2}')
    rm -rf --one-file-system "$base" "$base.tmp"
    timeout -k 10 300 debootstrap --variant=minbase --include="$packages" bookworm "$base.tmp" "$mirror" \
        > .cache/debootstrap.log 2>&1 || { tail -n 20 .cache/debootstrap.log >&2; exit 1; }
    echo "$packages" > "$base.tmp/.packages"
    mv "$base.tmp" "$base"
fi

# One place for all runs, so that one that was killed leaves nothing for long. nspawn's payload dies with nspawn.
root=.cache/boot-root
machine=''
leave() {
    [ -z "$machine" ] || { kill "$machine" 2> /dev/null && wait "$machine" 2> /dev/null; } || true
    rm -rf --one-file-system "$root"
}
trap leave EXIT
trap 'exit 143' INT TERM
rm -rf --one-file-system "$root"
mkdir -m 755 "$root"
cp -a --reflink=auto "$base/." "$root/"
make --silent install DESTDIR="$root" > /dev/null
rm -f "$root/etc/systemd/system/getty.target.wants/"* "$root/etc/resolv.conf"
install -m 755 Tests/Scripts/boot_guest.sh "$root/usr/local/bin/boot-guest"
install -m 644 Tests/Scripts/verify_log.py "$root/usr/local/lib/verify_log.py"
cat > "$root/etc/systemd/system/boot-guest.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/local/bin/boot-guest
StandardOutput=file:/var/log/results
StandardError=file:/var/log/guest-errors
TimeoutStartSec=90
ExecStopPost=+/bin/systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
UNIT
# A shorter watchdog, so that the test can see it being fed.
mkdir -p "$root/etc/systemd/system/coffred.service.d"
printf '[Service]\nWatchdogSec=2\n' > "$root/etc/systemd/system/coffred.service.d/watchdog.conf"
systemctl --root="$root" enable boot-guest.service coffred.socket coffre-broker.service systemd-sysusers.service > /dev/null 2>&1

timeout -k 15 150 systemd-nspawn --quiet --rlimit=MEMLOCK=8388608 --system-call-filter=@memlock -D "$root" \
    --machine="coffre-boot-$$" --register=no --keep-unit -b < /dev/null > .cache/boot.console 2>&1 9>&- &
machine=$!
wait "$machine" || true
machine=''
if [ ! -s "$root/var/log/results" ]; then
    echo "the container left no results; its console ended with:" >&2
    tail -n 40 .cache/boot.console >&2
    exit 1
fi
cp "$root/var/log/results" "$results"
cat "$root/var/log/guest-errors" >&2 || true
