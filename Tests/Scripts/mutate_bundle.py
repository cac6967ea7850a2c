#!/usr/bin/env python3
"""Changes a proof bundle at every place and expects verify.py to reject each change.

usage: mutate_bundle.py VERIFY.PY LOG.VKEY BUNDLE.tar [all]

One bit of each byte, which one depends on its offset; with `all` every bit. Then every truncation to a block, and
every swap of two members. Signatures that were seen before are looked up: openssl is asked once for each input.
Prints the number of changes; exit status 1 names the first that was accepted.
"""
import functools, importlib.util, io, sys

spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
bundle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bundle)
bundle.is_signed = functools.lru_cache(None)(bundle.is_signed)
with open(sys.argv[2], "rb") as file:
    keys = file.read()
with open(sys.argv[3], "rb") as file:
    original = file.read()


def accepts(data):
    try:
        bundle.verify(io.BytesIO(data), keys)
        return True
    except bundle.Bad:
        return False


def members(data):
    place, found = 0, []
    while data[place:place + 512] != bytes(512):
        size = 512 + (int(data[place + 124:place + 135], 8) + 511) // 512 * 512
        found.append(data[place:place + size])
        place += size
    return found, data[place:]


def mutants():
    bits = range(8) if sys.argv[4:] == ["all"] else None
    for place in range(len(original)):
        for bit in bits or [place % 8]:
            changed = bytearray(original)
            changed[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(changed)
    for length in range(0, len(original), 512):
        yield f"cut to {length}", original[:length]
    yield "one byte more", original + b"\0"
    parts, end = members(original)
    for index in range(len(parts)):
        yield f"without member {index}", b"".join(parts[:index] + parts[index + 1:]) + end
        yield f"member {index} twice", b"".join(parts[:index + 1] + parts[index:]) + end
        for other in range(index):
            swapped = list(parts)
            swapped[index], swapped[other] = swapped[other], swapped[index]
            yield f"members {other} and {index} swapped", b"".join(swapped) + end


if not accepts(original):
    sys.exit("the bundle itself is rejected")
count = 0
for name, data in mutants():
    count += 1
    if accepts(data):
        sys.exit(f"accepted: {name}")
print(count)
