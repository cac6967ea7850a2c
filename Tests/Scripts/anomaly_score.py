#!/usr/bin/env python3
"""Scores the findings of `coffre anomaly replay` against labelled windows, and prints the figures as JSON.

    anomaly_score.py FINDINGS.jsonl LABELS.json

An incident is a run of findings of one actor and kind, each within an hour of the one before. It is true when a
malicious window names its actor (or "*") and begins in [start, end + 10 minutes]; a window above six hours, or one
that names "*", also wants the kind to be one that it accepts, and another kind on its actor counts as nothing.
"""
import datetime
import json
import statistics
import sys


def seconds(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (fraction or "0"))


def incidents(findings):
    last, result = {}, []
    for finding in findings:
        key, time = (finding["actor"], finding["kind"]), seconds(finding["time"])
        if key in last and time - last[key] <= 3600:
            last[key] = time
            continue
        last[key] = time
        result.append((time, *key))
    return result


def main():
    findings = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    labels = json.load(open(sys.argv[2], encoding="utf-8"))
    begin, end = seconds(labels["scored_from"]), seconds(labels["end"])
    windows = [dict(w, a=seconds(w["start"]), b=seconds(w["end"])) for w in labels["windows"] if not w["benign"]]
    delays, false, true = {}, 0, 0
    for time, actor, kind in incidents([f for f in findings if begin <= seconds(f["time"]) < end]):
        named = [w for w in windows if (actor in w["actors"] or "*" in w["actors"]) and w["a"] <= time <= w["b"] + 600]
        strict = [w for w in named if w["b"] - w["a"] > 6 * 3600 or "*" in w["actors"]]
        hits = [w for w in named if w not in strict or kind in w["accept"]]
        for window in hits:
            delays.setdefault(window["id"], time - window["a"])
        if hits:
            true += 1
        elif not any(actor in w["actors"] for w in strict):
            false += 1
    recall, precision = len(delays) / len(windows), true / max(1, true + false)
    print(json.dumps({
        "f1": 2 * precision * recall / max(1e-9, precision + recall), "recall": recall, "precision": precision,
        "false_a_day": false / ((end - begin) / 86400), "windows": len(windows),
        "median_delay": statistics.median(delays.values()) if delays else None,
    }))


main()
