#!/usr/bin/env python3
"""Holds a trace of coffred to the rule that no answer leaves before its record is durable.

usage: check_order.py TRACE CANARY     strace -f -s 2000000 -e trace=write,writev,pwrite64,sendto,sendmsg,fdatasync

Secrets are named CANARY-NUMBER- and lie at a path that ends in /NUMBER. For each number, the answers that carry the
secret never outnumber the read records of its path that a completed fdatasync covers: one that began after their write
had returned. A batch belongs to no thread: calls are followed through `unfinished` and `resumed`.
Prints {"answers", "records", "syncs"}; exit status 1 names the first answer that was early.
"""
import collections, json, re, sys

canary = re.compile(re.escape(sys.argv[2]) + r"-(\d+)-")
record = re.compile(r'\\"op\\":\\"secret\.read\\",\\"path\\":\\"[^\\]*/(\d+)\\"')
entry = re.compile(r"(\d+) +(\w+)\((\d+)?")
resumed = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
result = re.compile(r"\) += (-?\d+)")

written, durable, answered = collections.Counter(), collections.Counter(), collections.Counter()
pending, syncing, syncs = {}, {}, 0
with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
    for number, line in enumerate(file, 1):
        begin = entry.match(line)
        again = resumed.match(line)
        if begin:
            thread, call = begin[1], begin[2]
            if call == "fdatasync":
                # What was written by now is covered, if it succeeds.
                syncing[thread] = written.copy()
            elif call == "pwrite64":
                pending[thread] = collections.Counter(record.findall(line))
            else:
                for which in canary.findall(line):
                    answered[which] += 1
                    if answered[which] > durable[which]:
                        sys.exit(f"line {number}: answer {answered[which]} of {which}, and {durable[which]} records are durable")
        elif again:
            thread, call = again[1], again[2]
        else:
            continue
        done = None if "<unfinished ...>" in line else result.search(line[-80:])
        if not done:
            continue
        if call == "pwrite64" and thread in pending:
            if int(done[1]) > 0:
                written += pending[thread]
            del pending[thread]
        elif call == "fdatasync" and thread in syncing:
            if int(done[1]) == 0:
                durable, syncs = durable | syncing[thread], syncs + 1
            del syncing[thread]
print(json.dumps({"answers": sum(answered.values()), "records": sum(durable.values()), "syncs": syncs}))
