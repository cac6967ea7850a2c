#!/usr/bin/env python3
"""Generates time series with labelled anomalies, of the kinds that are published for judging detectors.

    series_stream.py --seed N --out FOLDER [--rounds R]

writes FOLDER/KIND-I.csv (`timestamp,value`) and FOLDER/labels.json: for each file its windows. As the Numenta Anomaly Benchmark
has it, a window is centred on the anomaly and is 10 % of the series divided by the number of its anomalies. Nothing happens in
the first fifth. The same seed gives the same bytes; each seed has other levels, noise, steps of time and hours.
"""
import argparse, datetime as dt, json, math, os, random

DAY = 86400


class Series:
    """What is usual: a level, a shape of the day, days off, and noise."""
    def __init__(self, r, shape, step=None, heavy=None):
        self.r, self.shape = r, shape
        self.step = step or r.choice([300, 300, 300, 1800, 3600])
        self.count = {300: r.randint(3600, 4200), 1800: r.randint(2700, 6000), 3600: r.randint(1400, 2600)}[self.step]
        self.begin = dt.datetime(2024, 1, 1) + dt.timedelta(days=r.randrange(600), seconds=self.step * r.randrange(24))
        self.level, self.scale = r.choice([0.5, 20, 80, 1e4, 3e7]), 0
        self.noise = self.level * r.uniform(0.02, 0.06)
        self.swing = self.level * r.uniform(0.25, 0.6)
        self.top, self.sharp = r.uniform(9, 17), r.choice([0.6, 1, 2])
        self.free = r.uniform(0.2, 0.7)
        self.heavy = r.random() < 0.3 if heavy is None else heavy
        self.memory = r.choice([0, 0, 0.6, 0.9])
        # An honest job at the same minute of every day.
        self.job = r.randrange(DAY) if shape != "flat" and r.random() < 0.4 else None
        self.values = self.usual()

    def usual(self):
        r, values, carried = self.r, [], 0.0
        for k in range(self.count):
            when = self.begin + dt.timedelta(seconds=k * self.step)
            second = when.hour * 3600 + when.minute * 60 + when.second
            value = self.level
            if self.shape != "flat":
                wave = (1 + math.cos(2 * math.pi * (second / 3600 - self.top) / 24)) / 2
                off = self.free if self.shape == "weekly" and when.weekday() in (4, 5) else 1
                value += self.swing * wave ** self.sharp * off
            if self.job is not None and 0 <= second - self.job < max(self.step, 1200): value += self.swing * 0.7
            shock = r.gauss(0, 1)
            if self.heavy and r.random() < 0.02: shock *= r.uniform(2, 4)
            carried = self.memory * carried + math.sqrt(1 - self.memory ** 2) * shock
            values.append(value + self.noise * carried)
        return values

    def places(self, number):
        """Where anomalies begin: apart from each other and from the probationary period by more than a window."""
        half = int(0.1 * self.count / number / 2)
        while True:
            found = sorted(self.r.randrange(int(0.2 * self.count) + half, self.count - half - 2) for _ in range(number))
            if all(b - a > 3 * half for a, b in zip(found, found[1:])): return found

    def time(self, k):
        return str(self.begin + dt.timedelta(seconds=k * self.step))


def spikes(r, shape):
    s = Series(r, shape)
    at = s.places(r.randint(1, 3))
    for place in at:
        size = s.noise * r.uniform(7, 16) * r.choice([1, 1, -1])
        for k in range(r.choice([1, 2, 4])): s.values[place + k] += size * r.uniform(0.8, 1)
    return s, at


def shift(r):
    s = Series(r, r.choice(["flat", "daily"]))
    at = s.places(r.randint(1, 2))
    for place in at:
        size = s.noise * r.uniform(4, 9) * r.choice([1, 1, -1])
        for k in range(place, s.count): s.values[k] += size
    return s, at


def dropped(r):
    """The day does not come: the lowest value with its noise, for half a day to a day and a half."""
    s = Series(r, r.choice(["daily", "weekly"]), step=r.choice([300, 1800]))
    at = s.places(1)
    lowest = sorted(s.values)[s.count // 50]
    for k in range(at[0], min(s.count, at[0] + int(r.uniform(0.5, 1.5) * DAY / s.step))):
        s.values[k] = lowest + s.noise * r.gauss(0, 0.7)
    return s, at


def outliers(r):
    s = Series(r, "flat", heavy=True)
    at = s.places(r.randint(2, 4))
    for place in at: s.values[place] += s.noise * r.uniform(12, 25) * r.choice([1, -1])
    return s, at


def trend(r):
    """From the anomaly on, the level climbs or falls by several times the noise in a tenth of the series."""
    s = Series(r, r.choice(["flat", "flat", "daily"]))
    at = s.places(1)
    slope = s.noise * r.uniform(15, 40) / (0.1 * s.count) * r.choice([1, -1])
    for k in range(at[0], s.count): s.values[k] += slope * min(k - at[0], 0.15 * s.count)
    return s, at


KINDS = {"daily": lambda r: spikes(r, "daily"), "weekly": lambda r: spikes(r, "weekly"), "shift": shift, "dropped": dropped,
         "outliers": outliers, "trend": trend, "quiet": lambda r: (Series(r, r.choice(["flat", "daily", "weekly"])), [])}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--rounds", type=int, default=3, help="series of each kind")
    ap.add_argument("--out", required=True, help="folder, made when missing")
    a = ap.parse_args()
    os.makedirs(a.out, exist_ok=True)
    labels = {}
    for kind, make in KINDS.items():
        for number in range(a.rounds):
            s, at = make(random.Random(f"{a.seed}/{kind}/{number}"))
            half = int(0.1 * s.count / len(at) / 2) if at else 0
            name = f"{kind}-{number}.csv"
            labels[name] = [[s.time(k - half), s.time(min(s.count - 1, k + half))] for k in at]
            with open(os.path.join(a.out, name), "w", encoding="ascii") as file:
                file.write("timestamp,value\n")
                for k, value in enumerate(s.values): file.write(f"{s.time(k)},{value:.8g}\n")
    with open(os.path.join(a.out, "labels.json"), "w", encoding="ascii") as file: json.dump(labels, file, indent=1)


main()
