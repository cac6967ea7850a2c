#!/usr/bin/env python3
"""Measures OAuth grants in one run on one machine, and prints a Markdown table: the rate at which a cached access token is handed
out against that of a read of a secret, and the broker's memory after many refreshes, as ten thousand grants need in a day.

The provider is a small server behind TLS 1.3 that gives new tokens to whoever asks. A caller holds at most 10,000 leases, so
each round of hand-outs has a token of its own and ends before that.

usage: bench_oauth.py --release FOLDER [--rounds N] [--handed N] [--refreshes N] [--connections N] [--check]
"""

import argparse
import http.server
import json
import os
import pathlib
import re
import secrets
import shutil
import socketserver
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import bench

RATIO = 0.7  # hand-outs of a cached token: at least so much of the rate of reads
MEMORY = 100  # MB, the broker at its largest
CALLERS = 32
REFRESHERS = 16


class Provider(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        tokens = {"access_token": secrets.token_urlsafe(32), "refresh_token": secrets.token_urlsafe(32),
                  "token_type": "Bearer", "expires_in": 86400, "scope": "read_api"}
        body = json.dumps(tokens).encode()
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def provider(folder):
    """Starts it; its port, and the file of its certificate."""
    pem = folder / "provider.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "provider.key", "-out", folder / "provider.crt",
         "-days", "2", "-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    pem.write_bytes((folder / "provider.crt").read_bytes() + (folder / "provider.key").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = Server(("127.0.0.1", 0), Provider)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1], folder / "provider.crt"


class Vault(bench.Coffre):
    """coffred with its broker, as its administrator."""

    def __init__(self, release, state, run, certificate):
        configuration = state / "broker.toml"
        configuration.write_text(
            f"""
            socket = "{run}/broker.sock"
            state_directory = "{state}/broker"
            coffred_user = "{os.getuid()}"
            allow = ["127.0.0.0/8"]
            ca_file = "{certificate}"
            """)
        (state / "broker").mkdir()
        self.broker = subprocess.Popen(
            [release / "coffre-broker", "--config", configuration], stdin=subprocess.DEVNULL, stdout=open(state / "broker.log", "wb"),
            stderr=subprocess.STDOUT)
        super().__init__(release, state, run)

    def prepare(self):
        self.root = self.token
        super().prepare()
        self.reader, self.token = self.token, self.root

    def stop(self):
        super().stop()
        self.broker.terminate()
        self.broker.wait(30)

    def broker_mb(self):
        status = pathlib.Path(f"/proc/{self.broker.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M).group(1)) / 1000 * 1.024

    def connect(self, name, port):
        fields = {"hostname": f"127.0.0.1:{port}", "client_id": "bench", "client_secret": "a-secret-of-the-bench"}
        self.call("POST", "connectors/connections/" + name, {"type": "gitlab", "fields": fields})
        begun = self.call("POST", "connectors/oauth/start", {"connection": name, "redirect_uri": "http://127.0.0.1:8400/callback"})
        self.call("POST", "connectors/oauth/complete", {"state": begun["data"]["state"], "code": "any"})

    def load(self, path, token, requests):
        """Requests a second; all of them have to succeed."""
        output = subprocess.run(
            ["h2load", "--h1", "-t", "1", "-c", str(CALLERS), "-n", str(requests), "-B", "unix:" + self.socket, "-H",
             "X-Vault-Token: " + token, "http://localhost/v1/" + path], capture_output=True, text=True, timeout=300, check=True).stdout
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", output)
        codes = re.search(r"status codes: (\d+) 2xx", output)
        if not rate or not codes or int(codes.group(1)) != requests:
            raise bench.Failure(f"h2load {path}:\n{output}")
        return float(rate.group(1))


def hand_out(vault, rounds, count):
    policy = 'path "connectors/creds/*" { capabilities = ["read"] } path "secret/data/*" { capabilities = ["read"] }'
    vault.call("PUT", "sys/policies/acl/handed", {"policy": policy})
    vault.call("POST", "auth/token/roles/services", {"allowed_policies": "handed", "allowed_entity_aliases": "*"})
    callers = [vault.call("POST", "auth/token/create/services", {"entity_alias": f"service-{number}", "ttl": "1h"})["auth"]
               for number in range(rounds + 1)]
    grants = [{"entity": caller["entity_id"], "level": "read-write"} for caller in callers]
    vault.call("POST", "connectors/connections/forge-0/permissions", {"grants": grants})
    reads, handed = [], []
    for number, caller in enumerate(callers):
        reads.append(vault.load("secret/data/app/db", caller["client_token"], count))
        handed.append(vault.load("connectors/creds/forge-0", caller["client_token"], count))
        bench.say(f"round {number}: {reads[-1]:,.0f} reads/s, {handed[-1]:,.0f} hand-outs/s")
    return statistics.median(reads[1:]), statistics.median(handed[1:])  # The first only warms up.


def refresh(vault, names, count):
    """Refreshes of all in turns; how many a second."""
    lock, done, problems = threading.Lock(), [0], []

    def caller():
        while not problems:
            with lock:
                if done[0] >= count:
                    return
                name = names[done[0] % len(names)]
                done[0] += 1
            try:
                vault.call("POST", f"connectors/connections/{name}/rotate", {})
            except bench.Failure as failure:
                problems.append(failure)

    begin = time.perf_counter()
    threads = [threading.Thread(target=caller) for _ in range(REFRESHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return count / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--handed", type=int, default=8000, help="hand-outs of one round, at most 10,000")
    parser.add_argument("--refreshes", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--check", action="store_true", help="fail when a target is missed")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coffre-oauth-", dir="/var/tmp"))
    run = pathlib.Path(tempfile.mkdtemp(prefix="coffre-run-"))
    vault = None
    try:
        port, certificate = provider(folder)
        vault = Vault(options.release, folder, run, certificate)
        names = [f"forge-{number}" for number in range(options.connections)]
        for name in names:
            vault.connect(name, port)
        bench.say(f"{len(names)} connections")
        rate = refresh(vault, names, options.refreshes)
        size = vault.broker_mb()
        reads, handed = hand_out(vault, options.rounds, options.handed)
        ratio = handed / reads
        print("| Work | Measured | To reach |")
        print("|---|---|---|")
        print(f"| A cached access token handed out, {CALLERS} callers | {handed:,.0f}/s; a secret read {reads:,.0f}/s: {ratio:.2f} × "
              f"| ≥ {RATIO} ×{'' if ratio >= RATIO else ' **missed**'} |")
        print(f"| {options.refreshes:,} refreshes, {REFRESHERS} at a time | {rate:,.0f}/s, the broker at its largest {size:.0f} MB "
              f"| ≤ {MEMORY} MB{'' if size <= MEMORY else ' **missed**'} |")
        print()
        print(bench.machine(folder))
        return 1 if options.check and (ratio < RATIO or size > MEMORY) else 0
    finally:
        if vault:
            vault.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
