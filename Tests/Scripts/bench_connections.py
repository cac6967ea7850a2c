#!/usr/bin/env python3
"""Measures short-lived logins against the bare SQL that they need, in one run on one machine, and prints a Markdown table.

A real PostgreSQL runs in a folder of its own. The statements that Coffre sends for one login are taken from the server's
own log and run again by pgbench, which connects for each login as Coffre does: that is what the work costs without Coffre.
Then many leases expire in one minute while secrets are read, and the log is verified.

usage: bench_connections.py --release FOLDER [--seconds N] [--rounds N] [--leases N] [--check]
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import bench

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
CALLERS = 16
RATIO = 1.3  # creds: at most so many times the bare SQL
MINUTE = 60
KEPT = 0.8  # of the rate of reads, while leases expire
TABLES = ("clients", "invoices", "products", "suppliers", "payroll", "contracts")
ADMINISTRATOR, PASSWORD = "postgres", "a-password-of-the-bench"


class Postgres:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        folder.mkdir(mode=0o755)
        self.data = folder / "data"
        self.data.mkdir(mode=0o700)
        self.owner = []
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
            self.owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        secret = folder / "pw"
        secret.write_text(PASSWORD)
        subprocess.run(
            [*self.owner, PROGRAMS / "initdb", "-D", self.data, "-U", ADMINISTRATOR, f"--pwfile={secret}", "-A", "scram-sha-256",
             "-E", "UTF8", "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/")
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "max_connections": 200,
            "logging_collector": "on", "log_destination": "jsonlog", "log_directory": "log", "log_filename": "statements",
            "log_parameter_max_length": -1,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            [*self.owner, PROGRAMS / "postgres", "-D", self.data, *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        for _ in range(200):
            if subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0:
                break
            time.sleep(0.05)
        self.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC; REVOKE CONNECT, TEMP ON DATABASE postgres, template1 FROM PUBLIC")
        self.sql(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; GRANT CONNECT ON DATABASE postgres TO app")
        self.sql("; ".join(f"CREATE TABLE {table} (id int PRIMARY KEY, name text, amount numeric)" for table in TABLES))

    def environment(self, password=PASSWORD):
        return {**os.environ, "PGPASSWORD": password}

    def sql(self, *texts):
        done = subprocess.run(
            [PROGRAMS / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", ADMINISTRATOR,
             "-d", "postgres", *(word for text in texts for word in ("-c", text))],
            env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise bench.Failure(f"psql: {done.stderr[:600]}")
        return done.stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    @contextlib.contextmanager
    def statements(self, found):
        """Fills `found` with (user, statement) of all sessions of the broker that begin within."""
        self.sql("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
        time.sleep(0.5)
        yield
        self.sql("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")
        time.sleep(0.5)
        for line in (self.data / "log" / "statements.json").read_text().splitlines():
            entry = json.loads(line)
            if entry.get("application_name") != "coffre-broker":
                continue
            match = re.match(r"(?:statement|execute [^:]*): (.*)", entry["message"], re.S)
            if not match:
                continue
            text = match.group(1)
            detail = entry.get("detail", "").removeprefix("parameters: ")
            values = dict(re.findall(r"(\$\d+) = (NULL|'(?:[^']|'')*')", detail))
            text = re.sub(r"\$\d+", lambda found: values.get(found.group(0), found.group(0)), text)
            found.append((entry["user"], text))

    def pgbench(self, script, user, password, seconds):
        """Mean seconds of one session that runs the script, with as many callers at a time."""
        path = self.folder / "script.sql"
        path.write_text(script)
        output = subprocess.run(
            [PROGRAMS / "pgbench", "-n", "-C", "-c", str(CALLERS), "-j", "2", "-T", str(seconds), "-f", path, "-h", "127.0.0.1", "-p",
             str(self.port), "-U", user, "postgres"], env=self.environment(password), capture_output=True, text=True)
        rate = re.search(r"tps = ([\d.]+)", output.stdout)
        if output.returncode != 0 or not rate or "number of failed transactions: 0 " not in output.stdout:
            raise bench.Failure(f"pgbench:\n{output.stdout[-1500:]}{output.stderr[-1500:]}")
        return 1 / float(rate.group(1))


class Vault(bench.Coffre):
    """coffred with its broker."""

    def __init__(self, release, state, run):
        configuration = state / "broker.toml"
        configuration.write_text(
            f"""
            socket = "{run}/broker.sock"
            state_directory = "{state}/broker"
            coffred_user = "{os.getuid()}"
            allow = ["127.0.0.0/8"]
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

    def person(self, name):
        made = self.call("POST", "auth/token/create/people", {"entity_alias": name, "ttl": "4h"})
        return made["auth"]["client_token"], made["auth"]["entity_id"]

    def connect(self, postgres):
        policy = 'path "connectors/*" { capabilities = ["create", "read", "update", "list"] }'
        self.call("PUT", "sys/policies/acl/people", {"policy": policy})
        self.call("POST", "auth/token/roles/people", {"allowed_policies": "people", "allowed_entity_aliases": "*"})
        self.people = [self.person(f"person-{number}") for number in range(CALLERS)]
        fields = {
            "host": "127.0.0.1", "port": str(postgres.port), "database": "postgres", "username": "app",
            "password": PASSWORD, "admin_username": ADMINISTRATOR, "admin_password": PASSWORD, "ssl_mode": "disable",
        }
        self.call("POST", "connectors/connections/production", {"type": "postgresql", "fields": fields})
        rules = [{"table": table, "level": "read"} for table in TABLES[:4]]
        rules[0]["level"] = "read-write"
        grants = [{"entity": entity, "level": "read-write"} for _, entity in self.people]
        self.call("POST", "connectors/connections/production/permissions", {"tables": rules, "grants": grants})


def issue(vault, stop, ttl="1h", most=None):
    """Logins by all callers at a time until `stop()`: how many, and how long each took."""
    times, problems, lock = [], [], threading.Lock()

    def caller(token):
        with contextlib.closing(bench.UnixConnection(vault.socket)) as connection:
            while not stop():
                with lock:
                    if most is not None and len(times) >= most:
                        return
                before = time.perf_counter()
                connection.request("GET", f"/v1/connectors/creds/production?ttl={ttl}", None, {"X-Vault-Token": token})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    problems.append(text)
                    return
                with lock:
                    times.append(time.perf_counter() - before)

    threads = [threading.Thread(target=caller, args=(token,)) for token, _ in vault.people]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise bench.Failure(f"creds: {problems[0][:600]!r}")
    return times, time.perf_counter() - begin


def scripts(postgres, vault):
    """What pgbench is to run for one login: the administrator's session, and the proof by the new login."""
    found = []
    vault.call("GET", "connectors/creds/production?ttl=1h")  # makes the group role, once
    with postgres.statements(found):
        vault.call("GET", "connectors/creds/production?ttl=1h")
    logins = {user for user, _ in found if user.startswith("coffre_")}
    if len(logins) != 1:
        raise bench.Failure(f"the statements of one login were not found: {found}")
    login = logins.pop()
    for text in (ADMINISTRATOR, login):
        if not any(user == text for user, _ in found):
            raise bench.Failure("a session is missing")
    group = re.search(r"coffre_g_[0-9a-f]+", " ".join(text for _, text in found)).group(0)

    def script(user):
        # `\\;` keeps together what was sent together; a statement of its own ends with `;`.
        texts = [text.strip().rstrip(";").replace(";", "\\;") for who, text in found if who == user]
        return texts

    administrator = ";\n".join(script(ADMINISTRATOR)).replace(login, "bench_login_:n") + ";\n"
    proof = ";\n".join(script(login)) + ";\n"
    return "\\set n random(1, 1000000000000)\n" + administrator, proof, group


def credentials(postgres, vault, options):
    administrator, proof, group = scripts(postgres, vault)
    postgres.sql(f"CREATE ROLE bench_proof LOGIN PASSWORD '{PASSWORD}'; GRANT {group} TO bench_proof")
    bare, ours = [], []
    for number in range(options.rounds):
        def run_bare():
            first = postgres.pgbench(administrator, ADMINISTRATOR, PASSWORD, options.seconds)
            bare.append(first + postgres.pgbench(proof, "bench_proof", PASSWORD, max(2, options.seconds // 4)))

        def run_ours():
            end = time.perf_counter() + options.seconds
            times, took = issue(vault, lambda: time.perf_counter() >= end)
            ours.append((took / len(times), statistics.median(times), max(times)))

        for run in (run_bare, run_ours) if number % 2 == 0 else (run_ours, run_bare):
            run()
        # What bare SQL has left behind goes, so that the server keeps its size.
        names = postgres.sql("SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE rolname LIKE 'bench_login_%'")
        time.sleep(0.5)  # A session of pgbench may still be ending.
        for part in [names.split(", ")[at:at + 200] for at in range(0, len(names.split(", ")), 200)]:
            if part != [""]:
                postgres.sql(f"DROP OWNED BY {', '.join(part)}", f"DROP ROLE {', '.join(part)}")
        bench.say(f"   one login: {bare[-1] * 1e3:.1f} ms bare, {ours[-1][0] * 1e3:.1f} ms by Coffre")
    one, other = statistics.median(bare), statistics.median(first for first, _, _ in ours)
    half, worst = (statistics.median(run[at] for run in ours) for at in (1, 2))
    return bench.Row(
        f"A login of PostgreSQL, {CALLERS} callers", f"{1 / one:,.0f}/s",
        f"{1 / other:,.0f}/s, half within {half * 1e3:.0f} ms, worst {worst * 1e3:.0f} ms", f"{other / one:.2f} × the time",
        f"≤ {RATIO:g} ×", other <= RATIO * one)


def expiry(postgres, vault, options):
    """Leases that end one after another within a minute are gone by its end, and reads go on."""

    def left():
        return int(postgres.sql("SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'coffre\\_production\\_%'"))

    vault.call("PUT", "sys/leases/revoke-prefix/connectors/creds/production", {})
    begin = time.time()
    first = begin + options.leases / 30 + 30  # when the first one ends: well after the last one was made
    made = 0
    while made < options.leases:
        ends = first + MINUTE * made / options.leases
        times, _ = issue(vault, lambda: False, ttl=f"{int(ends - time.time())}s", most=min(100, options.leases - made))
        made += len(times)
    bench.say(f"   {made} leases made in {time.time() - begin:.0f} s")
    vault.token = vault.reader
    before = bench.Load(vault, 8, seconds=max(10, options.seconds)).rate
    wait = first - time.time()
    if wait < 0:
        raise bench.Failure("the machine was too slow to make that many leases")
    time.sleep(wait)
    start = left()
    during = bench.Load(vault, 8, seconds=MINUTE - 2).rate
    while left() and time.time() - first < 10 * MINUTE:
        time.sleep(0.5)
    gone = time.time() - first
    vault.token = vault.root
    kept = during / before
    bench.say(f"   {start} logins gone in {gone:.0f} s; reads kept {kept:.2f} of {before:,.0f}/s")
    # The last ones end at the end of the minute.
    return bench.Row(
        f"{made:,} leases expire in one minute", f"{before:,.0f} reads/s before",
        f"the last login gone {gone - MINUTE:.0f} s after its end, {during:,.0f} reads/s meanwhile", f"{kept:.2f} × the reads",
        f"≤ 5 s, ≥ {KEPT:g} ×", gone <= MINUTE + 5 and kept >= KEPT)


def decisions(vault, options):
    """Each of many people lists many connections: one decision for every pair, and the answer's text."""
    teams, people, connections = 20, options.people, options.connections
    tokens = [vault.person(f"reader-{number}") for number in range(people)]
    for team in range(teams):
        members = [entity for number, (_, entity) in enumerate(tokens) if number % teams == team or number % 7 == team]
        vault.call("POST", f"identity/group/name/team-{team}", {"member_entity_ids": members})
    rules = [{"table": table, "level": "read"} for table in TABLES]
    for number in range(connections):
        path = f"connectors/connections/many-{number}"
        vault.call("POST", path, {"type": "slack", "fields": {}})
        grants = [{"group": f"team-{(number + step) % teams}", "level": "read"} for step in range(8)]
        grants += [{"entity": tokens[(number + step) % people][1], "level": level} for step, level in ((1, "none"), (2, "read-write"))]
        vault.call("POST", path + "/permissions", {"tables": rules, "grants": grants})
    seen, took = 0, 0.0
    for token, _ in tokens:
        with contextlib.closing(bench.UnixConnection(vault.socket)) as connection:
            connection.request("GET", "/v1/connectors/connections?list=true", None, {"X-Vault-Token": token})
            before = time.perf_counter()
            text = connection.getresponse().read()
            took += time.perf_counter() - before
        seen += len(json.loads(text)["data"]["keys"])
    each = took / (people * connections)
    bench.say(f"   {people} lists of {connections} connections, {seen / people:.0f} of them shown: {each * 1e6:.2f} µs a decision")
    return bench.Row(
        f"Who may use what: {connections:,} connections × {people} people", "", f"{each * 1e6:.2f} µs a decision, with the text of its answer", "",
        "≤ 5 µs", each <= 5e-6)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--leases", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cache = pathlib.Path(".cache").resolve()
    cache.mkdir(exist_ok=True)
    state = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=cache))
    state.chmod(0o755)
    run = pathlib.Path(tempfile.mkdtemp(prefix="coffre-bench-"))
    started, rows = [], []
    try:
        named = bench.machine(state)
        bench.say("== " + named)
        bench.say("== starting PostgreSQL and Coffre")
        postgres = Postgres(state / "postgres")
        started.append(postgres)
        (state / "coffre").mkdir()
        vault = Vault.__new__(Vault)
        started.append(vault)
        vault.__init__(options.release, state / "coffre", run)
        vault.connect(postgres)
        bench.say("== logins")
        if options.rounds:
            rows.append(credentials(postgres, vault, options))
        if options.leases:
            bench.say("== leases that expire")
            rows.append(expiry(postgres, vault, options))
        if options.people:
            bench.say("== decisions")
            rows.append(decisions(vault, options))
        vault.stop()
        started.remove(vault)
        bench.say("== verifying Coffre's log")
        records = bench.verified(options.release, vault, 1000)
    finally:
        for server in reversed(started):
            with contextlib.suppress(AttributeError, subprocess.TimeoutExpired):
                server.stop()
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)
    lines = [
        "| Work | Without | Coffre | Ratio | To reach |", "|---|---|---|---|---|", *(row.text for row in rows), "", named,
        f"Median of {options.rounds} rounds of {options.seconds} s, in turns. Coffre's log verified afterwards: {records:,} records.",
    ]
    text = "\n".join(lines) + "\n"
    (cache / "bench-connections.md").write_text(text)
    print(text)
    missed = sum(not row.reached for row in rows)
    bench.say("every target is reached" if missed == 0 else f"{missed} of {len(rows)} targets are missed")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except bench.Failure as failure:
        sys.exit(f"bench: {failure}")
