#!/usr/bin/env python3
"""Changes a proof bundle at every place and expects verify.py to reject each change.

usage: mutate_bundle.py VERIFY.PY LOG.VKEY BUNDLE.tar [all | lies]

One bit of each byte, which one depends on its offset; with `all` every bit; `lies` leaves this out. Then every truncation to a block, and
every swap of two members. Then as an exporter would who lies: what is proven is changed, and headers and SHA256SUMS
are made anew. Signatures that were seen before are looked up: openssl is asked once for each input.
Prints the number of changes; exit status 1 names the first that was accepted.
"""
import functools, importlib.util, io, itertools, sys

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


def packed(contents):
    """The bundle of these (name, bytes), with the hashes that belong to them."""
    sums = "".join(f"{bundle.hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in contents).encode()
    time = int(original[136:147], 8)
    return b"".join(bundle.header(bundle.FOLDER + name, len(data), time) + data + bytes(-len(data) % 512)
                    for name, data in contents + [("SHA256SUMS", sums)]) + bytes(1024)


def lies():
    contents = []
    for part in members(original)[0][:-1]:
        name = part[:100].rstrip(b"\0").decode()[len(bundle.FOLDER):]
        contents.append((name, part[512:512 + int(part[124:135], 8)]))
    assert packed(contents) == original
    for index, (name, data) in enumerate(contents):
        if "/" not in name and name not in ("checkpoint", "log.vkey"):
            continue
        if name.endswith(".tsr"):
            continue  # openssl judges it, with a certificate of the reader's
        before, after = contents[:index], contents[index + 1:]
        # What strangers signed under the log's own signatures is theirs to prove.
        own = len(b"\n".join(data.split(b"\n")[:6])) if name == "outside/cosigned.checkpoint" else len(data)
        for place in range(own):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            yield f"{name}: bit {place % 8} of byte {place}", packed(before + [(name, bytes(changed))] + after)
        lines = data.splitlines(True)
        for place in range(6 if name == "outside/cosigned.checkpoint" else len(lines)):
            without, twice = lines[:place] + lines[place + 1:], lines[:place + 1] + lines[place:]
            swapped = lines[:place] + lines[place:place + 2][::-1] + lines[place + 2:]
            for what, other in ("without line", without), ("twice line", twice), ("swapped line", swapped):
                # The order of signatures means nothing.
                if other != lines and (what != "swapped line" or not lines[place].startswith(b"\xe2\x80\x94")):
                    yield f"{name}: {what} {place}", packed(before + [(name, b"".join(other))] + after)
    records = dict(contents)["range/records.jsonl"].splitlines(True)
    for place, line in enumerate(records):
        if line.startswith(b"{"):  # A record that is hidden although the manifest says it is shown.
            leaf = bundle.base64.b64encode(bundle.sha(b"\0" + line[:-1])) + b"\n"
            other = b"".join(records[:place] + [leaf] + records[place + 1:])
            yield f"hidden {place}", packed([(n, other if n == "range/records.jsonl" else d) for n, d in contents])


if not accepts(original):
    sys.exit("the bundle itself is rejected")
count = 0
for name, data in itertools.chain(() if sys.argv[4:] == ["lies"] else mutants(), lies()):
    count += 1
    if accepts(data):
        sys.exit(f"accepted: {name}")
print(count)
