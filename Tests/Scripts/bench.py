#!/usr/bin/env python3
"""Measures Coffre against the real OpenBao in one run on one machine, and prints a Markdown table.

Both serve KV version 2 on a Unix socket; h2load asks. OpenBao runs with raft storage and its file audit device, which never
syncs. Every answer of Coffre has its audit record on disk before it leaves: the log is verified and counted at the end.

usage: bench.py --bao PROGRAM --release FOLDER [--seconds N] [--rounds N] [--check]

--check makes a missed target an error. Without it the table says which ones were missed, and the exit status is 0.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SECRET = {"data": {"username": "payroll", "password": "a-password-of-usual-length", "host": "db.internal"}}
POLICY = 'path "secret/*" { capabilities = ["create", "read", "update", "list"] }'
READS = {1: 0.75, 8: 1.8, 32: 4, 64: 5}  # connections: how many times OpenBao's rate must be reached
WRITES = {1: 2, 16: 8, 64: 10}
MEMORY_READS = 100_000
MEMORY_LIMIT_MB = 40


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failure(Exception):
    pass


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Server:
    """A process with a vault behind a Unix socket. Subclasses write the configuration and initialise."""

    def __init__(self, name, state, run):
        self.name = name
        self.state = state
        self.socket = str(run / (name + ".sock"))
        self.token = None
        self.process = None

    def start(self, arguments, environment=None):
        log = open(self.state / "output.log", "wb")
        self.process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        self.until(lambda: self.call("GET", "sys/seal-status"), "it answers")

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def until(self, attempt, what):
        limit = time.monotonic() + 30
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException, Failure) as error:
                if self.process.poll() is not None or time.monotonic() > limit:
                    output = (self.state / "output.log").read_text(errors="replace")[-2000:]
                    raise Failure(f"{self.name}: never came to the point that {what}: {error}\n{output}") from error
                time.sleep(0.05)

    def call(self, method, path, body=None):
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            headers = {"X-Vault-Token": self.token} if self.token else {}
            connection.request(method, "/v1/" + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise Failure(f"{self.name}: {method} {path}: {answer.status} {text[:300]!r}")
            return json.loads(text) if text else {}

    def prepare(self):
        """The secret that is read, and a token that may do no more than is measured."""
        self.until(lambda: self.call("POST", "secret/data/app/db", SECRET), "it keeps a secret")
        self.call("PUT", "sys/policies/acl/bench", {"policy": POLICY})
        made = self.call("POST", "auth/token/create", {"policies": ["bench"], "ttl": "4h"})
        self.token = made["auth"]["client_token"]

    def resident_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1)) / 1000 * 1.024


class OpenBao(Server):
    def __init__(self, program, state, run):
        super().__init__("bao", state, run)
        ports = []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        (state / "raft").mkdir()
        configuration = state / "bao.hcl"
        configuration.write_text(
            f"""
            storage "raft" {{ path = "{state}/raft" node_id = "bench" }}
            listener "unix" {{ address = "{self.socket}" socket_mode = "0600" tls_disable = true }}
            listener "tcp" {{ address = "127.0.0.1:{ports[0]}" cluster_address = "127.0.0.1:{ports[1]}" tls_disable = true }}
            api_addr = "http://127.0.0.1:{ports[0]}"
            cluster_addr = "https://127.0.0.1:{ports[1]}"
            disable_mlock = true
            log_level = "error"
            audit "file" "main" {{ options {{ file_path = "{state}/audit.log" }} }}
            """
        )
        self.start([program, "server", f"-config={configuration}"])
        shares = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.call("PUT", "sys/unseal", {"key": shares["keys"][0]})
        self.token = shares["root_token"]
        mount = {"type": "kv", "options": {"version": "2"}}
        self.until(lambda: self.call("POST", "sys/mounts/secret", mount), "it is active")
        self.prepare()


class Coffre(Server):
    def __init__(self, release, state, run, name="coffre", more=""):
        """`more`: further lines of the configuration."""
        super().__init__(name, state, run)
        self.audit = state / "audit"
        credentials = state / "credentials"
        credentials.mkdir()
        for name in ("coffre.unseal", "coffre.audit"):
            (credentials / name).write_bytes(os.urandom(32))
        configuration = state / "coffre.toml"
        configuration.write_text(
            f"""
            state_directory = "{state}/state"
            [listener]
            socket = "{self.socket}"
            mode = "0600"
            group = ""
            [seal]
            type = "credential"
            operators = [{os.getuid()}]
            [audit]
            directory = "{self.audit}"
            [broker]
            socket = "{run}/broker.sock"
            user = "{os.getuid()}"
            {more}
            """
        )
        self.start([release / "coffred", "--config", configuration], {"CREDENTIALS_DIRECTORY": str(credentials)})
        self.token = self.call("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})["root_token"]
        self.prepare()


class Load:
    """What one run of h2load found."""

    DURATION = {"us": 1e-6, "ms": 1e-3, "s": 1.0}

    def __init__(self, server, connections, body=None, seconds=None, requests=None):
        command = ["h2load", "--h1", "-t", "1", "-c", str(connections), "-B", "unix:" + server.socket]
        command += ["-H", "X-Vault-Token: " + server.token]
        command += ["-n", str(requests)] if requests else ["-D", str(seconds), "--warm-up-time", "1"]
        if body is not None:
            command += ["-d", str(body)]
        path = "secret/data/app/" + ("db" if body is None else "written")
        output = subprocess.run(
            command + ["http://localhost/v1/" + path], capture_output=True, text=True, timeout=300, check=True
        ).stdout
        done = re.search(r"finished in .*?, ([\d.]+) req/s", output)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        counts = re.search(r"requests: \d+ total, .*? (\d+) failed, (\d+) errored, (\d+) timeout", output)
        times = re.search(r"time for request:\s+\S+\s+(\S+)\s+(\S+)", output)
        if not (done and codes and counts and times) or int(codes.group(1)) == 0:
            raise Failure(f"h2load against {server.name}:\n{output}")
        if any(int(count) for count in (*codes.groups()[1:], *counts.groups())):
            raise Failure(f"{server.name} refused or failed requests:\n{output}")
        self.rate = float(done.group(1))
        self.answers = int(codes.group(1))
        self.worst, self.mean = (self.seconds(text) for text in times.groups())

    def seconds(self, text):
        value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
        return float(value) * self.DURATION[unit]


def milliseconds(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"


class Row:
    def __init__(self, work, bao, coffre, ratio, target, reached):
        self.reached = reached
        self.text = f"| {work} | {bao} | {coffre} | {ratio} | {target}{'' if reached else ' **missed**'} |"


def compare(work, bao, coffre, connections, target, body, options):
    """Rounds in turns, so that what else the machine does meets both."""
    runs = {bao: [], coffre: []}
    for number in range(options.rounds):
        for server in (bao, coffre) if number % 2 == 0 else (coffre, bao):
            runs[server].append(Load(server, connections, body, seconds=options.seconds))
    middle = {
        server: tuple(statistics.median(getattr(run, value) for run in found) for value in ("rate", "mean", "worst"))
        for server, found in runs.items()
    }
    ratio = middle[coffre][0] / middle[bao][0]
    # With 64 readers the slowest answer counts too: no worse than OpenBao's.
    in_time = body is not None or connections != 64 or middle[coffre][2] <= middle[bao][2]
    wanted = f"≥ {target:g} ×" + (", worst no worse" if body is None and connections == 64 else "")
    cells = [
        f"{rate:,.0f}/s, {milliseconds(mean)}, worst {milliseconds(worst)}" for rate, mean, worst in (middle[bao], middle[coffre])
    ]
    say(f"   {work}: {cells[0]} against {cells[1]}: {ratio:.2f} ×")
    return Row(work, *cells, f"{ratio:.2f} ×", wanted, ratio >= target and in_time)


def memory(bao, coffre):
    found = {}
    for server in (bao, coffre):
        Load(server, 32, requests=MEMORY_READS)
        found[server] = server.resident_mb()
    say(f"   memory: {found[bao]:.0f} MB against {found[coffre]:.0f} MB")
    return Row(
        f"Resident memory after {MEMORY_READS:,} reads",
        f"{found[bao]:.0f} MB",
        f"{found[coffre]:.0f} MB",
        f"{found[coffre] / found[bao]:.2f} ×",
        f"≤ {MEMORY_LIMIT_MB} MB",
        found[coffre] <= MEMORY_LIMIT_MB,
    )


def sync_latency(folder):
    """Half and 99 of 100 fdatasync(2) after an append of 512 bytes, in microseconds."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(1000):
            os.write(file.fileno(), b"x" * 512)
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - before) * 1e6)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def machine(folder):
    model = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    kind = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", folder], capture_output=True, text=True).stdout.strip()
    half, most = sync_latency(folder)
    cores = len(os.sched_getaffinity(0))
    name = model.group(1) if model else platform.machine()
    return (
        f"{name}, {cores} core{'' if cores == 1 else 's'}, Linux {platform.release()}, {kind or 'unknown file system'}; "
        f"one `fdatasync` takes {half:.0f} µs (p50), {most:.0f} µs (p99)."
    )


def verified(release, coffre, answers):
    """The log is valid and has at least one record an answer, or the figures are worth nothing."""
    found = subprocess.run(
        [release / "coffre", "audit", "verify", "--format", "json", coffre.audit], capture_output=True, text=True, timeout=600
    )
    if found.returncode != 0:
        raise Failure(f"the audit log does not verify:\n{found.stdout}{found.stderr}")
    records = 0
    for segment in coffre.audit.rglob("*.jsonl"):
        with open(segment, "rb") as lines:
            records += sum(1 for _ in lines)
    if records < answers:
        raise Failure(f"{answers} answers, but only {records} records")
    return records


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bao", required=True, type=pathlib.Path)
    parser.add_argument("--release", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    cache = pathlib.Path(".cache").resolve()
    cache.mkdir(exist_ok=True)
    # State lies on the disk of the sources, not in /tmp, which may be memory; sockets need a short path.
    state = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=cache))
    run = pathlib.Path(tempfile.mkdtemp(prefix="coffre-bench-"))
    servers, rows = [], []
    try:
        named = machine(state)
        say("== " + named)
        for kind, program in ((OpenBao, options.bao), (Coffre, options.release)):
            folder = state / kind.__name__.lower()
            folder.mkdir()
            say(f"== starting {kind.__name__}")
            server = kind.__new__(kind)
            servers.append(server)
            server.__init__(program, folder, run)
        bao, coffre = servers
        body = state / "body.json"
        body.write_text(json.dumps(SECRET))

        total = (len(READS) + len(WRITES)) * options.rounds * 2 * (options.seconds + 1)
        say(f"== measuring, about {total // 60 + 1} minutes")
        rows_of_memory = memory(bao, coffre)
        for connections, target in READS.items():
            work = f"KV v2 read, {connections} connection{'' if connections == 1 else 's'}"
            rows.append(compare(work, bao, coffre, connections, target, None, options))
        for connections, target in WRITES.items():
            work = f"KV v2 write, {connections} connection{'' if connections == 1 else 's'}"
            rows.append(compare(work, bao, coffre, connections, target, body, options))
        rows.append(rows_of_memory)
        coffre.stop()
        say("== verifying Coffre's log")
        records = verified(options.release, coffre, MEMORY_READS)
    finally:
        for server in servers:
            with contextlib.suppress(AttributeError):
                server.stop()
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)

    lines = [
        "| Work | OpenBao 2.7.2 | Coffre | Ratio | To reach |",
        "|---|---|---|---|---|",
        *(row.text for row in rows),
        "",
        named,
        f"Median of {options.rounds} rounds of {options.seconds} s, in turns; mean and worst time of an answer. "
        f"Coffre's log verified afterwards: {records:,} records.",
    ]
    text = "\n".join(lines) + "\n"
    (cache / "bench.md").write_text(text)
    print(text)
    missed = sum(not row.reached for row in rows)
    say("every target is reached" if missed == 0 else f"{missed} of {len(rows)} targets are missed")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"bench: {failure}")
