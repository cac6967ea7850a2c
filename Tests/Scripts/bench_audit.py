#!/usr/bin/env python3
"""Measures the audit log on this machine, and lets three verifiers judge a large one. Prints a Markdown table.

usage: bench_audit.py --release FOLDER [--records N] [--place FOLDER] [--go PROGRAM] [--python]

A log of N records (ten million unless told otherwise) over twelve weeks is written through the real writer, with an epoch a
day; it is compressed, a day of it is held, the oldest segments are pruned; then it is verified whole. One bit is flipped
in a compressed segment, a seal, an epoch's end, a prune certificate and a hold, one after the other: each time the
verifiers must name the file or the record. --go adds the verifier on Go's tlog, --python verify_log.py (minutes each).
"""
import argparse, json, os, platform, random, resource, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.tool = os.path.join(options.release, "audit-bench")

    def run(self, *arguments, may_fail=False):
        done = subprocess.run([self.tool, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode and not may_fail:
            sys.exit(f"audit-bench {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return json.loads((done.stdout.splitlines() or ["{}"])[-1])

    def verdicts(self, folder):
        """What each verifier says: (name, valid, what it blames)."""
        ours = self.run("verify", folder, may_fail=True)
        yield "coffre", "file" not in ours, self.blame(folder, ours.get("file"), ours.get("record"))
        if self.options.go:
            done = subprocess.run([self.options.go], input=folder + "\n", capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            yield "Go", found["valid"], self.blame(folder, None, found["record"]) + (found["reason"] or "")
        if self.options.python:
            done = subprocess.run(["python3", "-I", os.path.join(HERE, "verify_log.py"), folder], capture_output=True, text=True)
            found = json.loads(done.stdout)
            yield "Python", found["valid"], self.blame(folder, found.get("file"), found.get("record"))

    @staticmethod
    def blame(folder, file, record):
        file = file and (os.path.relpath(file, folder) if os.path.isabs(file) else file)
        return (file or "") + (f" record {record} " if record is not None else "")


def flip(path, seed):
    with open(path, "r+b") as file:
        place = random.Random(seed).randrange(os.path.getsize(path))
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << seed % 8]))


def paths(folder, part, ending):
    return sorted(os.path.join(base, name) for base, _, names in os.walk(os.path.join(folder, part))
                  for name in names if name.endswith(ending))


def size(folder):
    return sum(os.path.getsize(path) for path in paths(folder, "seg", ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", required=True)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--place", default=None)
    parser.add_argument("--go", default=None)
    parser.add_argument("--python", action="store_true")
    options = parser.parse_args()
    bench = Bench(options)
    place = tempfile.mkdtemp(prefix="coffre-bench-", dir=options.place and os.path.abspath(options.place))
    rows = []
    try:
        say("== 64 waiters")
        got = bench.run("append", place + "/append", 5)
        sync = f"one fdatasync {got['fdatasync_us_p50']:.0f} µs, p99 {got['fdatasync_us_p99']:.0f} µs"
        added = got["latency_us_p99"]
        limit = 2 * got["fdatasync_us_p99"] + 1000
        rows.append(("Append, 64 waiters, each record synced", f"{got['records_per_second']:,.0f}/s", "≥ 50,000/s", sync))
        rows.append(("Added latency, p99", f"{added:,.0f} µs", f"≤ {limit:,.0f} µs (2 × p99 of a sync + 1 ms)", sync))
        say("== recovery of an open segment of 64 MiB")
        bench.run("tail", place + "/tail")
        got = bench.run("open", place + "/tail")
        rows.append(("Recovery of a 64 MiB tail", f"{got['open_ms']:,.0f} ms", "< 1 s", f"{got['records']:,.0f} records"))
        log = place + "/log"
        say(f"== {options.records:,} records")
        got = bench.run("generate", log, options.records, 12)
        rows.append(("Appending in groups of 2,048", f"{got['appended_per_second']:,.0f}/s", "", f"{got['resident_mib']:.0f} MiB"))
        got = bench.run("index", log)
        rows.append(("Indexing", f"{got['indexed_per_second']:,.0f}/s", "",
                     f"{got['index_bytes_per_record']:.1f} bytes a record, {got['resident_mib']:.0f} MiB"))
        raw = size(log)
        say("== compress, hold, prune")
        got = bench.run("tidy", log)
        rows.append(("Compressing", f"{raw / got['compress_seconds'] / 1e6:,.0f} MB/s", "",
                     f"{raw / size(log):.1f} × smaller with {got['pruned_segments']:.0f} segments pruned, "
                     f"{got['held_segments']:.0f} held"))
        found = subprocess.run([bench.tool, "query", log], capture_output=True, text=True).stdout.splitlines()
        for line in found:
            name, _, figures = line.partition(" ")
            if not figures.startswith("{"):
                sys.exit(f"the index does not answer: {line}")
            got = json.loads(figures)
            rows.append((f"Query of a week: {name.removesuffix('_week').replace('_', ' ')}",
                         f"{got['page_ms_median']:.1f} ms, worst {got['page_ms_worst']:.1f} ms", "< 100 ms",
                         f"{got['page_records']:.0f} of {got['all_records']:,.0f} records, {got['resident_mib']:.0f} MiB"))
        one, two = bench.run("verify", log, 1), bench.run("verify", log, 2)
        rows.append(("Verify, one core", f"{one['records_per_second']:,.0f}/s", "≥ 400,000/s", f"{one['resident_mib']:.0f} MiB (≤ 64)"))
        rows.append(("Verify, two cores", f"{two['records_per_second'] / one['records_per_second']:.2f} ×", "≥ 1.7 ×",
                     f"{two['resident_mib']:.0f} MiB"))
        for verifier, valid, blame in bench.verdicts(log):
            rows.append((f"Verdict of {verifier}", "valid" if valid else f"NOT VALID: {blame}", "valid",
                         f"{one['records_read']:,.0f} records read, {one['pruned_records']:,.0f} pruned, {one['epochs']:.0f} epochs"))
        parts = [("seg", ".jsonl"), ("seg", ".zst"), ("seg", ".seal"), ("epochs", ".tlog-proof"), ("pruned", ".tlog-proof"), ("hold", ".tlog-proof")]
        for seed, (part, ending) in enumerate(parts):
            found = paths(log, part, ending)
            path = found[len(found) // 3]
            flip(path, seed)
            for verifier, valid, blame in bench.verdicts(log):
                rows.append((f"One bit of {os.path.relpath(path, log)}, {verifier}", "NOT FOUND" if valid else "found", "found", blame))
            flip(path, seed)
        if any(row[1] == "NOT FOUND" for row in rows):
            sys.exit("a flipped bit was not found")
    finally:
        shutil.rmtree(place, ignore_errors=True)
        print(f"| Work | Measured | To reach | |\n|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print(f"\n{os.cpu_count()} cores, {platform.machine()}; most memory of a child "
              f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10} MiB")


main()
