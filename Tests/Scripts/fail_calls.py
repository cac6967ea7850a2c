#!/usr/bin/env python3
"""Fails every system call of a log's life, one at a time, under the real program, and looks what is left.

usage: fail_calls.py DRIVER GO_VERIFIER FOLDER [name=value]...

A life is: open a new log or one that a crash has left, append with a new day in between, stop; or compress and prune
what has grown old before that. For each call by name,
for each of its occurrences N, the N-th call fails with EIO, with ENOSPC, or the process is killed there (strace).
Then the log is opened and closed once more without faults, and all that was acknowledged must be there; the Swift
verifier, verify_log.py and the program on Go's tlog must find every log valid, with the same size and root.

Counters of strace are per thread, so a life is tried in parts: strace comes once the program is ready, and once the
log is open (then the thread that writes is alone).
Options: workers=2; every=1 tries only one occurrence in so many; all=1 fails calls that only read as well.
Prints counts; exit status 1 names the first that went wrong.
"""
import collections, concurrent.futures, json, os, re, shutil, subprocess, sys, threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_log

WRITING = "pwrite64 fdatasync fsync renameat renameat2 fallocate ftruncate unlinkat mkdirat openat openat2 close".split()
READING = "pread64 getdents64 newfstatat fstat fcntl".split()
TROUBLES = ("error=EIO", "error=ENOSPC", "signal=KILL")
RECORDS = ["records=4", "days=2", "segment=1500", "wait=1"]
# Half of the days are older than the retention: segments are compressed and pruned at the end.
AGES = ["records=4", "days=4", "months=6", "leap=200", "tidy=1"]


def life(driver, folder, part, expression, trace, more):
    """One life with strace attached from `part` on. Returns what was acknowledged, and the process id."""
    process = subprocess.Popen([driver, "run", folder] + RECORDS + more, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    tracer, acknowledged = None, []
    for line in process.stdout:
        word = line.split()
        if word[0] == "ack":
            acknowledged.append((int(word[1]), word[2]))
            continue
        if word[0] == part:
            tracer = attach(process.pid, expression, trace)
        try:
            process.stdin.write("\n")
            process.stdin.flush()
        except OSError:
            break
    process.wait()
    process.stdout.close()
    if tracer:
        tracer.wait()
    return acknowledged, process.pid


def attach(pid, expression, trace):
    command = ["strace", "-f", "-p", str(pid), "-o", trace, "-e", "signal=none"]
    tracer = subprocess.Popen(command + expression, stderr=subprocess.PIPE, text=True)
    for line in tracer.stderr:
        if "attached" in line:
            # Somebody must read on, or a full pipe stops the tracer.
            threading.Thread(target=tracer.stderr.read, daemon=True).start()
            return tracer
    raise SystemExit("strace cannot attach: " + line)


def count(driver, folder, part, names, more):
    """How often each call occurs: since `ready` in the first thread, which opens, since `open` in the one with most."""
    trace = folder + ".trace"
    main = str(life(driver, folder, part, ["-e", "trace=" + ",".join(names)], trace, more)[1])
    counts = collections.Counter()
    with open(trace) as file:
        for line in file:
            match = re.match(r"(\d+) +(\w+)\(", line)
            if match:
                counts[match[1], match[2]] += 1
    most = collections.Counter()
    for (thread, name), number in counts.items():
        if part != "ready" or thread == main:
            most[name] = max(most[name], number)
    return most


def records(folder):
    found = {}
    for base, _, files in os.walk(os.path.join(folder, "seg")):
        for name in files:
            path = os.path.join(base, name)
            if name.endswith((".jsonl", ".jsonl.zst")):
                data = verify_log.read(path)
                for line in (data if name.endswith("l") else verify_log.unpack(data, path)).splitlines():
                    value = json.loads(line)
                    found[value["_s"]] = value["what"].get("path")
    return found


def pruned(folder):
    """The records that a proven `prune` record speaks of."""
    numbers, place = set(), os.path.join(folder, "pruned")
    for name in os.listdir(place) if os.path.exists(place) else []:
        if name.endswith(".tlog-proof"):
            line = verify_log.parts(verify_log.read(os.path.join(place, name)))[0]
            details = json.loads(line)["what"]["det"]
            numbers |= set(range(details["first"], details["last"] + 1))
    return numbers


def attempt(job):
    driver, folder, crashed, part, more, name, number, trouble = job
    if crashed:
        shutil.copytree(crashed, folder)
    expression = ["-e", f"trace={name}", "-e", f"inject={name}:{trouble}:when={number}"]
    acknowledged, _ = life(driver, folder, part, expression, "/dev/null", more)
    again = subprocess.run([driver, "run", folder, "records=1", "start=21000"], capture_output=True, text=True)
    what = f"{'after a crash, ' if crashed else ''}{trouble} at {name} {number} since {part}"
    if again.returncode:
        return f"{what}: it does not open again: {again.stderr}"
    acknowledged += [(int(line.split()[1]), line.split()[2]) for line in again.stdout.splitlines()]
    there = records(folder)
    gone = pruned(folder)
    lost = [entry for entry in acknowledged if there.get(entry[0]) != entry[1] and entry[0] not in gone]
    return f"{what}: acknowledged and lost: {lost}" if lost else None


def agree(folders, driver, foreign, sample):
    """What the three verifiers say that is not `valid`, or differs."""
    names = "".join(folder + "\n" for folder in folders)
    ours = subprocess.run([driver, "verify"], input=names, capture_output=True, text=True).stdout.splitlines()
    theirs = subprocess.run([foreign], input=names, capture_output=True, text=True).stdout.splitlines()
    for index, (folder, one, other) in enumerate(zip(folders, map(json.loads, ours), map(json.loads, theirs), strict=True)):
        third = verify_log.verify(folder) if index % sample == 0 else other
        if not (one["valid"] and other["valid"] and third["valid"]):
            return f"{folder}: {one} {other} {third}"
        if not one["records"] == other["records"] == third["records"] or not one["root"] == other["root"] == third["root"]:
            return f"{folder}: the verifiers differ: {one} {other} {third}"
    return None


def main():
    driver, foreign, place = sys.argv[1:4]
    options = dict(argument.split("=") for argument in sys.argv[4:])
    names = WRITING + (READING if options.get("all") else [])
    every = int(options.get("every", 1))
    os.makedirs(place, exist_ok=True)
    crashed = os.path.join(place, "crashed")
    # A log with a torn line and an open segment: its next start recovers.
    life(driver, crashed, "open", ["-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=KILL:when=4"], "/dev/null", [])
    newest = max((os.path.join(base, name) for base, _, files in os.walk(os.path.join(crashed, "seg"))
                  for name in files if name.endswith(".jsonl")), key=os.path.basename)
    with open(newest, "ab") as file:
        file.write(b'{"_p":"torn')
    jobs, calls = [], collections.Counter()
    lives = (None, "ready", []), (None, "open", []), (crashed, "ready", ["start=20785"]), (None, "done", AGES)
    for before, part, more in lives:
        sample = os.path.join(place, f"count-{part}-{bool(before)}")
        if before:
            shutil.copytree(before, sample)
        most = count(driver, sample, part, names, more)
        for name in names:
            calls[name] += most[name]
            for number in range(1, most[name] + 1, every):
                for trouble in TROUBLES:
                    folder = os.path.join(place, str(len(jobs)))
                    jobs.append((driver, folder, before, part, more, name, number, trouble))
    with concurrent.futures.ThreadPoolExecutor(int(options.get("workers", 2))) as pool:
        wrong = [text for text in pool.map(attempt, jobs) if text]
    if not wrong:
        # Signatures in Python take their time: one log in five, unless everything is wanted.
        found = agree([job[1] for job in jobs], driver, foreign, 1 if options.get("all") else 5)
        wrong = [found] if found else []
    print(json.dumps({"tried": len(jobs), "wrong": wrong[:5], "all_wrong": len(wrong), "calls": calls}))
    sys.exit(1 if wrong else 0)


main()
