#!/usr/bin/env python3
"""Changes every bit of every file of an audit log, in memory, and says what verify_log.py finds.

usage: mutate_log.py FOLDER     prints one line for each bit: file, bit number, and - (valid) or the record or ? (none)

Lines and signatures that were seen before are looked up: each distinct one is checked once, by the same code.
"""
import functools, os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verify_log

verify_log.strict = functools.lru_cache(200_000)(verify_log.strict)
verify_log.signed = functools.lru_cache(200_000)(verify_log.signed)
verify_log.point = functools.lru_cache(200_000)(verify_log.point)
verify_log.unpack = functools.lru_cache(64)(verify_log.unpack)


@functools.lru_cache(64)
def doubles(point):
    found = []
    for _ in range(256):
        found.append(point)
        point = verify_log.add(point, point)
    return found


def times(number, point):
    """As verify_log.times, with the doubles of the few points that occur."""
    result = (0, 1, 1, 0)
    for place in range(number.bit_length()):
        if number >> place & 1:
            result = verify_log.add(result, doubles(point)[place])
    return result


verify_log.times = times


class Held:
    """Stands in for the file system: the files of the log under /."""

    def __init__(self, folder):
        self.files = {}
        for part in "log.vkey", "checkpoint", "epochs", "seg", "tree", "pruned", "hold":
            place = os.path.join(folder, part)
            found = [place] if os.path.isfile(place) else [os.path.join(base, name) for base, _, names in os.walk(place)
                                                           for name in names if not name.endswith(".new")]
            for path in found:
                with open(path, "rb") as file:
                    self.files["/" + os.path.relpath(path, folder)] = bytearray(file.read())
        self.path = self
        self.join, self.basename, self.relpath = os.path.join, os.path.basename, os.path.relpath
        self.fspath, self.fsdecode = os.fspath, os.fsdecode

    def read(self, path):
        return bytes(self.files[path])

    def lexists(self, path):
        return path in self.files or any(name.startswith(path + "/") for name in self.files)

    exists = lexists

    def isfile(self, path):
        return path in self.files

    def listdir(self, path):
        return sorted({name[len(path) + 1:].split("/")[0] for name in self.files if name.startswith(path + "/")})

    def walk(self, path):
        bases = {}
        for name in self.files:
            if name.startswith(path + "/"):
                base, _, last = name.rpartition("/")
                bases.setdefault(base, []).append(last)
        return [(base, [], names) for base, names in bases.items()]


def main():
    held = Held(sys.argv[1])
    verify_log.os, verify_log.read = held, held.read
    result = verify_log.verify("/")
    if not result["valid"]:
        sys.exit(f"the log itself: {result}")
    lines = []
    for name in sorted(held.files):
        data = held.files[name]
        for bit in range(8 * len(data)):
            data[bit // 8] ^= 1 << bit % 8
            result = verify_log.verify("/")
            data[bit // 8] ^= 1 << bit % 8
            record = result.get("record")
            lines.append(f"{name[1:]} {bit} {'-' if result['valid'] else '?' if record is None else record}\n")
    sys.stdout.write("".join(lines))


main()
