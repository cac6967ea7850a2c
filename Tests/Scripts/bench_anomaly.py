#!/usr/bin/env python3
"""Measures the anomaly engine on this machine. Prints a Markdown table; exits with 1 when a target is missed.

usage: bench_anomaly.py --release FOLDER [--place FOLDER]

- The rate of `coffre anomaly replay` on one core, parsing included, over a generated organisation of more than a million records.
- A million identities that come once each: the peak of the process's memory, and that the early ones were forgotten.
- The memory of an identity with a full history: the difference between 8,000 and 4,000 of them, by the peak of the process.
- Loading and saving the state of 8,000 such identities and 50,000 tokens.
- The rate of KV reads of a daemon that watches its log against one that does not, in turns (by h2load).
"""
import argparse, os, pathlib, platform, statistics, subprocess, sys, tempfile, time

import bench as load

HERE = os.path.dirname(os.path.abspath(__file__))
RATE, PEAK, EACH, KEPT = 200_000, 64 * 1024, 2048, 0.97


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options, place):
        self.program, self.place, self.rows, self.missed = os.path.join(options.release, "coffre"), place, [], False

    def file(self, name):
        return os.path.join(self.place, name)

    def replay(self, *arguments):
        """Returns seconds and the peak of memory in KiB; on the first of the cores that this process may use."""
        core = min(os.sched_getaffinity(0))
        with open(self.file("findings"), "wb") as output:
            begin = time.monotonic()
            child = subprocess.Popen([self.program, "anomaly", "replay", *arguments], stdout=output,
                                     preexec_fn=lambda: os.sched_setaffinity(0, {core}))
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"coffre anomaly replay {' '.join(arguments)}: status {child.returncode}")
        return seconds, usage.ru_maxrss

    def row(self, what, value, target, is_met):
        self.rows.append((what, value, target))
        self.missed |= not is_met
        say(f"{what}: {value}{'' if is_met else '  MISSED'}")

    def rate(self):
        subprocess.run([sys.executable, os.path.join(HERE, "anomaly_stream.py"), "--seed", "41", "--rate", "34000", "--people", "60",
                        "--services", "30", "--out", self.file("s")], check=True)
        with open(self.file("s.jsonl"), "rb") as file: count = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        assert count >= 1_000_000, count
        arguments = (self.file("s.jsonl"), "--context", self.file("s.context.json"))
        runs = [self.replay(*arguments) for _ in range(3)]
        rate = count / min(seconds for seconds, _ in runs)
        self.row(f"Replay of {count:,} records, records/s on one core", f"{rate:,.0f}", f"≥ {RATE:,}", rate >= RATE)
        self.row("its peak of memory", f"{max(peak for _, peak in runs) / 1024:.0f} MiB", "", True)
        os.remove(self.file("s.jsonl"))

    def write(self, name, actors, uses, secrets, gap, tokens=0):
        """A stream of `uses` reads by each of `actors`, in turns; a heartbeat every thousand. `gap` is in seconds."""
        sequence = 0
        with open(self.file(name), "w", encoding="ascii", buffering=1 << 20) as file:
            for use in range(uses):
                for actor in range(actors):
                    at = int(sequence * gap * 1e6)
                    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_767_225_600 + at // 1_000_000))
                    token = f'"token_accessor":"a-{sequence % tokens:06d}",' if tokens else ""
                    kind = "user" if actor % 2 else "service"
                    if sequence % 1000 == 0: kind, operation = "system", "heartbeat"
                    else: operation = "read"
                    file.write(f'{{"time":"{second}.{at % 1_000_000:06d}Z","seq":{sequence},"actor":{{"kind":"{kind}","id":"id-{actor:07d}",'
                               f'"uid":{1000 + actor},"unit":"u.service","teams":["t{actor % 8}"]}},"operation":"{operation}","connector":"kv",'
                               f'"path":"s/{(actor * 7 + use) % secrets}",{token}"outcome":"ok","client_pid":1}}\n')
                    sequence += 1

    def flood(self):
        self.write("flood", 1_000_000, 1, 50_000, 1, tokens=1_000_000)
        state = self.file("flood.state")
        seconds, peak = self.replay(self.file("flood"), "--state", state)
        self.row("A million identities, once each: peak of memory", f"{peak / 1024:.1f} MiB", f"≤ {PEAK // 1024} MiB", peak <= PEAK)
        self.row("records/s of it", f"{1_000_000 / seconds:,.0f}", "", True)
        with open(state, "rb") as file: saved = file.read()
        kept = sum(b"id-%07d" % actor in saved for actor in range(1, 900_000, 10_000))
        last = sum(b"id-%07d" % actor in saved for actor in range(999_001, 1_000_000))
        self.row("of 90 early ones still known; of the last 999", f"{kept}; {last}", "0; 999", (kept, last) == (0, 999))
        os.remove(self.file("flood"))

    def full(self):
        """Each identity reads 70 secrets over 10 days: 40 are remembered one by one, the others in the filter."""
        peaks, state = {}, self.file("full.state")
        for actors in (4_000, 8_000):
            self.write("full", actors, 70, 2_000, 864_000 / (actors * 70), tokens=50_000)
            _, peaks[actors] = self.replay(self.file("full"))
        each = (peaks[8_000] - peaks[4_000]) * 1024 / 4_000
        self.row("Memory of an identity with a full history", f"{each:,.0f} bytes", f"≤ {EACH:,}", each <= EACH)
        self.row("Peak with 8,000 of them", f"{peaks[8_000] / 1024:.1f} MiB", f"≤ {PEAK // 1024} MiB", peaks[8_000] <= PEAK)
        _, peak = self.replay(self.file("full"), "--state", state)
        self.row("the same with the state saved at the end", f"{peak / 1024:.1f} MiB", f"≤ {PEAK // 1024} MiB", peak <= PEAK)
        open(self.file("nothing"), "w").close()
        nothing = min(self.replay(self.file("nothing"))[0] for _ in range(5))
        seconds = min(self.replay(self.file("nothing"), "--state", state)[0] for _ in range(5)) - nothing
        size = os.path.getsize(state) / 1e6
        self.row(f"Loading and saving their state ({size:.1f} MB)", f"{seconds * 1000:.0f} ms", "", True)


    def reads(self):
        """KV reads at 8 connections; rounds in turns, so that what else the machine does meets both."""
        release = pathlib.Path(self.program).resolve().parent
        servers = []
        run = tempfile.TemporaryDirectory()  # A socket's path is short.
        try:
            for name, more in (("without", "[anomaly]\n            enabled = false"), ("watched", "")):
                state = pathlib.Path(self.place) / name
                state.mkdir(mode=0o700)
                servers.append(load.Coffre(release, state, pathlib.Path(run.name), name, more))
            runs = {server: [] for server in servers}
            for number in range(8):
                for server in servers if number % 2 == 0 else reversed(servers):
                    runs[server].append(load.Load(server, 8, seconds=4).rate)
            without, watched = (statistics.median(runs[server]) for server in servers)
        finally:
            for server in servers: server.stop()
            run.cleanup()
        ratio = watched / without
        self.row(f"KV reads with the watch, of {without:,.0f}/s without it, 8 connections", f"{ratio:.3f} ×", f"≥ {KEPT} ×",
                 ratio >= KEPT)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--release", required=True)
    ap.add_argument("--place", help="where the streams are written (1 GB for a while)")
    options = ap.parse_args()
    if options.place:
        options.place = os.path.abspath(options.place)
        os.makedirs(options.place, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.place) as place:
        bench = Bench(options, place)
        bench.rate()
        bench.flood()
        bench.full()
        bench.reads()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    print(f"{os.cpu_count()} cores, {model}, Linux {platform.release()}\n\n| What | Measured | Target |\n|---|---|---|")
    for row in bench.rows: print("| " + " | ".join(row) + " |")
    sys.exit(1 if bench.missed else 0)


main()
