#!/usr/bin/env python3
"""The score of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, standard profile) over scored series, as JSON.

    nab_score.py FOLDER LABELS.json

FOLDER has, for each file of the labels, `timestamp,value,anomaly_score`. One threshold holds for all files: the best one.
The first 15 % of a file, 750 rows at most, count for nothing. In a window the first detection counts, more the earlier it comes;
a window without one costs 1; a detection elsewhere costs up to 0.11, less just behind a window. 0 is who detects nothing,
100 who detects everything at once and nothing else.
"""
import csv, json, math, os, sys

TRUE, FALSE, MISSED = 1.0, 0.11, 1.0
MOST_PROBATION = 750


def sigmoid(position):
    """From +1 through 0 to -1: -1 is the begin of a window, 0 its end, 3 far behind it."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def judged(rows, windows):
    """For each row behind the probationary period: (score, window or None, what a detection there is worth)."""
    bounds = []
    for start, end in windows:
        inside = [k for k, row in enumerate(rows) if start <= row[0] <= end]
        bounds.append((inside[0], inside[-1]))
    for k in range(min(int(0.15 * len(rows)), MOST_PROBATION), len(rows)):
        inside = next((n for n, (a, b) in enumerate(bounds) if a <= k <= b), None)
        before = [(a, b) for a, b in bounds if b < k]
        if inside is not None:
            a, b = bounds[inside]
            worth = TRUE * sigmoid(-(b - k + 1) / (b - a + 1)) / sigmoid(-1)
        elif before:
            a, b = before[-1]
            worth = FALSE * sigmoid((k - b) / max(1, b - a))
        else:
            worth = -FALSE
        yield rows[k][1], inside, worth


def best(points, windows):
    """The highest sum over all thresholds. Points: (score, window or None, worth)."""
    total, found, false = -MISSED * windows, {}, 0
    result = (total, 2.0, 0, 0)
    points = sorted(points, key=lambda point: -point[0])
    for k, (score, window, worth) in enumerate(points):
        if window is None:
            total += worth
            false += 1
        else:
            total += max(worth, found.get(window, worth)) - found.get(window, -MISSED)
            found[window] = max(worth, found.get(window, worth))
        if (k + 1 == len(points) or points[k + 1][0] < score) and total > result[0]:
            result = (total, score, len(found), false)
    return result


def main():
    folder, labels = sys.argv[1], json.load(open(sys.argv[2], encoding="utf-8"))
    points, of_kind = [], {}
    for name, windows in labels.items():
        with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
            rows = [(row[0], float(row[2])) for row in csv.reader(file) if row[0] != "timestamp"]
        assert all(0 <= score <= 1 for _, score in rows), name
        for score, window, worth in judged(rows, windows):
            points.append((score, window if window is None else (name, window), worth))
            of_kind.setdefault(name.partition("-")[0], []).append(points[-1])
    windows = sum(map(len, labels.values()))
    total, threshold, found, false = best(points, windows)
    result = {"score": 100 * (total + MISSED * windows) / ((TRUE + MISSED) * windows), "threshold": threshold,
              "windows": windows, "found": found, "false": false, "series": len(labels), "kinds": {}}
    for kind, some in of_kind.items():
        here = [point for point in some if point[0] >= threshold]
        result["kinds"][kind] = {"windows": len([w for n, ws in labels.items() if n.startswith(kind + "-") for w in ws]),
                                 "found": len({point[1] for point in here} - {None}),
                                 "false": sum(point[1] is None for point in here)}
    print(json.dumps(result))


main()
