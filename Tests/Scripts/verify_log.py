#!/usr/bin/env python3
"""Verifies Coffre audit logs with the Python standard library alone, and the zstd command for compressed segments.

usage: verify_log.py FOLDER...     prints one JSON object per folder; exit status 1 when any is bad.

Written from the format page (AuditLog), not from the program: strict form of each line, numbers, hash chain,
RFC 6962 tree, the checkpoint, and for each sealed segment the note with both Ed25519 signatures.
"""
import base64, collections, datetime, hashlib, json, os, re, subprocess, sys, unicodedata

OUTCOMES = ("granted", "denied", "error", "rate_limited")
NEEDED = {"_p": str, "_s": int, "_t": str, "boot": str, "cid": (str, dict), "mono": int, "out": dict, "ph": str,
          "v": int, "what": dict, "who": dict}
OPTIONAL = {"gen": int, "ref": list, "why": dict}
WHAT = "conn det fields lease mount op path pd pn to ver".split()
WHO = "for gid jti kind ksid pid sid team tok uid unit".split()
WHY = "appr bg cap pol polv purpose rule set sub ticket".split()
OPERATIONS = set("""genesis daemon.start daemon.stop heartbeat clock.jump segment.open segment.seal key.rotate
witness.cosigned recovery prune hold.set hold.clear reserve.used config.change auth.ok auth.fail token.issue
token.revoke secret.read secret.list secret.write secret.delete lease.renew lease.revoke delivery.failed overflow
rotation.start rotation.ok rotation.fail policy.change role.grant role.revoke connector.add connector.update
connector.remove unseal seal break_glass.open break_glass.close audit.read audit.export audit.verify subject.register
subject.update erasure.request erasure.done anomaly.raise anomaly.ack anomaly.close token.renew token.lookup wrap
unwrap wrap.replay cubbyhole.read cubbyhole.write kv.undelete kv.destroy kv.metadata transit.use transit.key
identity.change oauth.consent oauth.refresh oauth.revoke oauth.needs_consent connection.test connection.disable
connection.restore lease.issue approval.request approval.grant approval.deny rekey init unseal.progress unseal.fail
anomaly.mute job.parked job.unknown report.export backup.take backup.restore restore.confirm sys.read sys.write
policy.read mount.change auth.change identity.read engine.read engine.change lease.lookup barrier.rotate tls.waived
request.invalid request.unmatched connection.read token.change""".split())


class Bad(Exception):
    """(file, record or None, reason)"""


def sha(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def check(condition, *where):
    if not condition:
        raise Bad(*where)


# Ed25519 (RFC 8032, section 5.1 and appendix A)
P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e, f = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    g, h = 2 * t1 * t2 * D, 2 * z1 * z2
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, a):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, a)
        a, n = add(a, a), n >> 1
    return result


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, text, signature):
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + text).digest(), "little") % Q
    left, right = times(s, BASE), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# The strict form
def pairs(items):
    names = [name for name, _ in items]
    if names != sorted(set(names)) or not all(re.fullmatch(r"[a-z0-9_./]+", name) for name in names):
        raise ValueError("names")
    return dict(items)


def refuse(text):
    raise ValueError(text)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max([depth(v) for v in inner], default=0)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def strict(data):
    """The object on a line, or ValueError."""
    value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs, parse_float=refuse, parse_constant=refuse)
    again = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")
    if again != data or not isinstance(value, dict) or depth(value) > 4 or b"null" in re.sub(rb'"[^"]*"', b"", data):
        raise ValueError("form")
    if any(abs(int(n)) > 2**53 - 1 for n in re.findall(rb"(?<=[:,\[])-?\d+", re.sub(rb'"(\\.|[^"\\])*"', b'""', data))):
        raise ValueError("range")
    for text in strings(value):
        if not re.fullmatch(r"([^\\]|\\\\|\\u\{(0|[1-9A-F][0-9A-F]{0,5})\})*", text, re.DOTALL):
            raise ValueError("escape")
        if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp") and c != " " for c in text):
            raise ValueError("unprintable")
    return value


def is_date(text):
    try:
        return datetime.datetime.fromisoformat(text).year >= 1970
    except ValueError:
        return False


def record(line, number, previous):
    check(len(line) <= 16384, "longer than 16384 bytes")
    try:
        value = strict(line)
    except (ValueError, RecursionError) as error:
        raise Bad(f"not in the strict form ({error})")
    kinds = {**NEEDED, **OPTIONAL}
    check(set(NEEDED) <= set(value) <= set(kinds), "fields")
    check(all(isinstance(v, kinds[k]) and not isinstance(v, bool) for k, v in value.items()), "kinds")
    check(value["v"] == 1 and value["ph"] in ("single", "intent", "outcome"), "version or phase")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value["_t"], re.ASCII), "time")
    check(is_date(value["_t"][:-1]), "no such date")
    check(re.fullmatch(r"[0-9a-f]{32}", value["boot"]) and min(value["mono"], value.get("gen", 0)) >= 0,
          "boot, mono or gen")
    check(all(type(number) is int for number in value.get("ref", [])), "ref")
    check(type(value["out"].get("us", 0)) is int, "us")
    out, what, who, why = value["out"], value["what"], value["who"], value.get("why", {})
    check(out.get("code") in OUTCOMES and set(out) <= {"code", "err", "us"} and what.get("op") in OPERATIONS, "op")
    check(set(what) <= set(WHAT) and set(who) <= set(WHO) and set(why) <= set(WHY), "inner fields")
    check(value["_s"] == number, f"its number is {value['_s']}, not {number}")
    check(value["_p"] == b64(previous), "it does not follow the record before")
    check((number == 0) == (what["op"] == "genesis"), "genesis is record 0")
    return value


# The tree (RFC 6962, section 2.1)
def grow(frontier, size, value, rows, level=0):
    """Appends a perfect subtree. Also keeps the hashes that tiles hold, by level and index."""
    place = size >> level
    if level and level % 8 == 0:
        rows[level // 8, place] = value
    while place & 1:
        value, place, level = sha(b"\x01" + frontier.pop() + value), place >> 1, level + 1
        if level % 8 == 0:
            rows[level // 8, size >> level] = value
    frontier.append(value)


def check_tiles(folder, paths, rows, gaps, size):
    """The tiles (C2SP tlog-tiles) that are there; of a gap (first record, end) not all hashes are known."""
    for path in paths:
        match = re.fullmatch(r"([1-6])/((?:x\d{3}/)*\d{3})", os.path.relpath(path, os.path.join(folder, "tree")))
        check(match and not match[2].startswith("x000"), path, None, "not a full tile of the log")
        level, index = int(match[1]), int(re.sub("[x/]", "", match[2]))
        begin, width, data = index << 8 * (level + 1), 1 << 8 * level, read(path)
        check(begin + 256 * width <= size, path, size, "it covers more records than there are")
        for place in range(256):
            mine = rows.get((level, 256 * index + place))
            held = data[32 * place:32 * place + 32]
            start = begin + place * width
            isGone = mine is None and any(low < start + width and start < high for low, high in gaps)
            check(held == mine or isGone, path, begin, "not the tree's hashes")
        check(len(data) == 8192, path, begin, "its length")


def root(frontier):
    if not frontier:
        return sha(b"")
    result = frontier[-1]
    for left in reversed(frontier[:-1]):
        result = sha(b"\x01" + left + result)
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read()


def keys(data, wanted=None):
    """[(name, id, key)] of log.vkey: the stable key, then that of epoch 0."""
    result = []
    for line in data.decode("ascii").split("\n")[:-1]:
        name, key_id, blob = line.split("+", 2)
        blob = base64.b64decode(blob, validate=True)
        check(len(blob) == 33 and blob[0] == 1, "log.vkey", None, "not an Ed25519 key")
        check(bytes.fromhex(key_id) == sha(name.encode() + b"\n" + blob)[:4], "log.vkey", None, "key id")
        check(line == f"{name}+{key_id.lower()}+{b64(blob)}", "log.vkey", None, "form")
        result.append((name, bytes.fromhex(key_id), blob[1:]))
    check(result, "log.vkey", None, "no key")
    wanted = wanted or [result[0][0], result[0][0] + "/epoch-000000"]
    check([name for name, _, _ in result] == wanted, "log.vkey", None, "two keys")
    return result


def open_note(note, names):
    text, separator, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    check(separator and note.endswith(b"\n"), "not a note")
    found = set()
    for line in signatures[:-1].split(b"\n"):
        match = re.fullmatch("— ([^ +]+) ([A-Za-z0-9+/=]+)".encode(), line)
        check(match, "not a signature line")
        blob = base64.b64decode(match[2], validate=True)
        check(base64.b64encode(blob) == match[2], "not a signature line")
        for name, key_id, key in names:
            if name.encode() == match[1] and blob[:4] == key_id:
                check(signed(key, text, blob[4:]), "a signature is false")
                found.add(name)
    check(len(found) == len(names) == signatures.count(b"\n"), "a signature is missing, or one of another key is there")
    return text


def parts(data):
    """(extra, index, path, checkpoint) of a C2SP tlog-proof."""
    begin, separator, note = data.partition(b"\n\n")
    lines = begin.split(b"\n")
    check(separator and len(lines) >= 3 and lines[0] == b"c2sp.org/tlog-proof@v1", "form")
    line = base64.b64decode(lines[1].removeprefix(b"extra "), validate=True)
    check(lines[1] == b"extra " + base64.b64encode(line) and re.fullmatch(rb"index (0|[1-9]\d*)", lines[2]), "form")
    return line, int(lines[2][6:]), hashes(lines[3:]), note


def hashes(lines):
    found = [base64.b64decode(text, validate=True) for text in lines]
    check(all(len(hash) == 32 and base64.b64encode(hash) == text for hash, text in zip(found, lines)), "hash")
    return found


def proven(data, operation, epochs):
    """(what.det, index, size, root, _t) of a record that a file proves."""
    line, index, path, note = parts(data)
    value = record(line, index, base64.b64decode(strict(line)["_p"], validate=True))
    what = value["what"]
    check(what["op"] == operation, "another record")
    size, top = head(note, epochs.signers(size_of(note)))
    check(index < size and included(sha(b"\0" + line), index, size, path) == base64.b64decode(top), "it proves nothing")
    return what["det"], index, size, top, value["_t"]


def certificates(folder, part, operation, epochs, name):
    """{file name: (what.det, index, size, root, _t)} of the files that prove such records."""
    found, place = {}, os.path.join(folder, part)
    for file in sorted(os.listdir(place)) if os.path.lexists(place) else []:
        if file.endswith(".new") or part == "pruned" and file.endswith(".nodes"):
            continue
        try:
            found[file] = proven(read(os.path.join(place, file)), operation, epochs)
            check(file == name(found[file][0]) + ".tlog-proof", "another record's name")
        except (Bad, ValueError, KeyError, TypeError) as error:
            raise Bad(f"{part}/{file}", None, str(error))
    return found


def frame_bytes(head):
    """What a zstd frame says of its content's size (RFC 8878, section 3.1.1.1); None when it says nothing."""
    if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 18:
        return None
    flags = head[4]
    place = 5 + (0 if flags & 32 else 1) + (0, 1, 2, 4)[flags & 3]
    width = (1 if flags & 32 else 0, 2, 4, 8)[flags >> 6]
    value = int.from_bytes(head[place:place + width], "little")
    return None if width == 0 else value + 256 if width == 2 else value


def unpack(data, path):
    """The lines of a compressed segment: see AuditLog.md."""
    frames = int.from_bytes(data[-9:-5], "little")
    table = data[-(17 + 8 * frames):]
    end = len(data) - len(table) - 40
    check(data[-5:] == b"\0\xb1\xea\x92\x8f" and frames and end > 0, path, None, "not a container")
    check(table[:8] == b"\x5e\x2a\x4d\x18" + (8 * frames + 9).to_bytes(4, "little"), path, None, "not a container")
    check(data[end:end + 40] == b"\x50\x2a\x4d\x18\x20\0\0\0" + sha(data[:end] + table), path, None, "digest")
    sizes = [int.from_bytes(table[8 + 4 * n:12 + 4 * n], "little") for n in range(2 * frames)]
    check(sum(sizes[::2]) == end and set(sizes[1:-1:2]) <= {131072} and 0 < sizes[-1] <= 131072, path, None, "sizes")
    place = 0
    for packed, raw in zip(sizes[::2], sizes[1::2]):
        check(frame_bytes(data[place:place + 18]) == raw, path, None, "a frame of another size")
        place += packed
    done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True)
    check(done.returncode == 0 and len(done.stdout) == sum(sizes[1::2]), path, None, "not what was compressed")
    return done.stdout


class Epochs:
    """The keys of the epochs, each introduced under the one before, and where each epoch ended."""

    def __init__(self, folder, names):
        self.names, self.keys, self.seals = names, [names[1]], []
        place = os.path.join(folder, "epochs")
        files = sorted(f for f in os.listdir(place) if not f.endswith(".new")) if os.path.lexists(place) else []
        for number in range(len(files)):
            file = f"epochs/epoch-{number:06}.tlog-proof"
            check(os.path.basename(file) in files, file, None, "epochs are not contiguous")
            try:
                self.add(read(os.path.join(folder, file)))
            except (Bad, ValueError, KeyError, TypeError) as error:
                raise Bad(file, None, str(error))

    def signers(self, size):
        return [self.names[0], self.keys[sum(seal["size"] < size for seal in self.seals)]]

    def add(self, data):
        line, index, path, note = parts(data)
        epoch = len(self.keys)
        what = record(line, index, base64.b64decode(strict(line)["_p"], validate=True))["what"]
        check(what["op"] == "key.rotate" and what["det"]["epoch"] == epoch, "another record")
        new = keys((what["det"]["key"] + "\n").encode(), [f"{self.names[0][0]}/epoch-{epoch:06}"])
        size, top = head(note, [self.names[0], self.keys[-1]] + new)
        last = self.seals[-1]["size"] if self.seals else 0
        check(last <= index < size <= index + 2 and index > 0, "size")
        check(included(sha(b"\0" + line), index, size, path) == base64.b64decode(top), "it proves nothing")
        self.keys += new
        self.seals.append({"index": index, "size": size, "root": top, "line": line})


def included(value, index, size, path):
    """RFC 9162, section 2.1.3.2: the root that the path leads to."""
    last = size - 1
    for sibling in path:
        check(last > 0, "path")
        if index & 1 or index == last:
            value = sha(b"\x01" + sibling + value)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            value = sha(b"\x01" + value + sibling)
        index, last = index >> 1, last >> 1
    check(last == 0, "path")
    return value


def head(note, names):
    lines = open_note(note, names).decode("ascii").split("\n")
    check(len(lines) == 4 and lines[0] == names[0][0] and lines[3] == "" and re.fullmatch(r"0|[1-9]\d*", lines[1])
          and len(base64.b64decode(lines[2], validate=True)) == 32, "not a checkpoint of this log")
    return int(lines[1]), lines[2]


def erasures(folder, epochs):
    """{size: root} of the heads that prove what became of cards."""
    place, roots = os.path.join(folder, "erased"), {}
    operations = {"asked": "erasure.request", "tlog-proof": "erasure.done"}
    reasons = ("request", "error", "excessive", "order", "expired", "restored")
    for file in sorted(os.listdir(place)) if os.path.lexists(place) else []:
        if file.endswith(".new"):
            continue
        try:
            match = re.fullmatch(r"(s-[0-9A-Za-z]{22})\.(asked|tlog-proof)", file)
            check(match, "it is not named after a pseudonym that was erased")
            details, _, size, top, _ = proven(read(os.path.join(place, file)), operations[match[2]], epochs)
            check(details["sid"] == match[1] and details["reason"] in reasons, "another record")
            check(roots.setdefault(size, top) == top, "another history")
        except (Bad, ValueError, KeyError, TypeError) as error:
            raise Bad(f"erased/{file}", None, str(error))
    return roots


def size_of(note):
    match = re.match(rb"[^\n]*\n(\d{1,19})\n", note)
    return int(match[1]) if match else 0


def checkpoint(folder, epochs):
    """(size, root) of the checkpoint file, None when there is none."""
    path = os.path.join(folder, "checkpoint")
    if not os.path.lexists(path):
        check(not epochs.seals, "checkpoint", None, "it is missing")
        return None
    try:
        note = read(path)
        return head(note, epochs.signers(size_of(note)))
    except Bad as bad:
        raise Bad("checkpoint", None, bad.args[0])


def verify(folder):
    state = {"records": 0, "root": b64(root([])), "open": False}
    try:
        walk(folder, state)
        return {**state, "valid": True}
    except Bad as bad:
        file, number, reason = bad.args if len(bad.args) == 3 else (None, None, bad.args[0])
        return {**state, "valid": False, "file": file, "record": number, "reason": reason}
    except (OSError, ValueError, TypeError, KeyError) as error:
        return {**state, "valid": False, "file": None, "record": None, "reason": repr(error)}


def before(time, months):
    """The same day and time some months before; the last day of a shorter month."""
    month = time.year * 12 + time.month - 1 - months
    for day in range(time.day, 0, -1):
        try:
            return time.replace(year=month // 12, month=month % 12 + 1, day=day)
        except ValueError:
            pass


def skip(folder, path, certificate, epochs, frontier, previous, generation, rows):
    """Goes on behind a segment that was pruned. - Returns: what its seal says."""
    try:
        note = read(path)
        text = open_note(note, epochs.signers(size_of(note)))
        origin, size, top, content = text.decode().split("\n")[:4]
        seal = strict(content.encode())
        detail, index, _, _, time = certificate
        first = seal["first"]
        old = datetime.datetime.fromisoformat(detail["until"].replace("Z", "+00:00"))
        said = datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))
        check(6 <= detail["months"] <= 36 and detail["until"] == seal["time"][1] and old <= before(said, detail["months"]),
              "it was not old enough")
        check([detail["first"], detail["last"]] == [first, seal["last"]] and index > seal["last"], "another segment")
        check(detail["seal"] == b64(sha(note)) and int(size) == seal["last"] + 1, "another seal")
        check([b64(h) for h in frontier] == seal["front"] and seal["prev"] == b64(previous), "it begins elsewhere")
        check((generation or 0) <= seal.get("gen", 0), "generation")
        lines = read(os.path.join(folder, "pruned", f"{first:012}.nodes")).split(b"\n")
        check(lines[-1] == b"", "form")
        nodes, number = hashes(lines[:-1]), first
        for value in nodes:
            room = (seal["last"] + 1 - number).bit_length() - 1
            check(room >= 0, "too many hashes")
            level = min(room, (number & -number).bit_length() - 1) if number else room
            grow(frontier, number, value, rows, level)
            number += 1 << level
        check(number == int(size) and [b64(h) for h in frontier] == seal["next"] and b64(root(frontier)) == top, "gap")
        return seal
    except (Bad, OSError, ValueError, KeyError, TypeError) as error:
        raise Bad(path, None, str(error))


def walk(folder, state):
    names = keys(read(os.path.join(folder, "log.vkey")))
    epochs = Epochs(folder, names)
    head = checkpoint(folder, epochs)
    tiles = sorted(os.path.join(base, name) for base, _, files in os.walk(os.path.join(folder, "tree"))
                   for name in files if not name.endswith(".new"))
    pruned = certificates(folder, "pruned", "prune", epochs, lambda detail: f"{detail['first']:012}")
    holds = certificates(folder, "hold", "hold.set", epochs, lambda detail: detail["id"])
    ends = {seal["index"]: seal for seal in epochs.seals}
    roots = {seal["size"]: seal["root"] for seal in epochs.seals}
    proofs = [(size, top) for part in (pruned, holds) for _, _, size, top, _ in part.values()]
    for size, top in [*proofs, *erasures(folder, epochs).items(), *([head] if head else [])]:
        check(roots.setdefault(size, top) == top, "checkpoint", None, "another history")
    found = {}
    for base, _, files in os.walk(os.path.join(folder, "seg")):
        for file in files:
            path = os.path.join(base, file)
            match = re.fullmatch(r"(\d{12,})\.(jsonl|jsonl\.zst|seal)", file)
            if file.endswith(".new"):
                continue
            place = os.path.relpath(base, os.path.join(folder, "seg"))
            check(match and re.fullmatch(r"\d{4}/\d\d/\d\d", place) and (len(match[1]) == 12 or match[1][0] != "0"), path, None, "not a file of the log")
            entry = found.setdefault(int(match[1]), {})
            check(match[2] not in entry, path, None, "two segments with one number")
            entry[match[2]] = path
    check(found, "seg", 0, "there is no segment")
    frontier, previous, number, generation, rows, gaps = [], bytes(32), 0, None, {}, []
    for first in sorted(found):
        entry = found[first]
        path = entry.get("jsonl") or entry.get("jsonl.zst") or entry["seal"]
        check(first == number, path, number, f"the segment begins with {first}")
        check("seal" in entry or first == max(found), path, None, "the seal is missing")
        if "jsonl.zst" in entry:
            check("seal" in entry, entry["jsonl.zst"], first, "an open segment is never compressed")
            if "jsonl" in entry:
                check(unpack(read(entry["jsonl.zst"]), entry["jsonl.zst"]) == read(path), entry["jsonl.zst"], first, "other")
        certificate = pruned.pop(f"{first:012}.tlog-proof", None)
        if path == entry.get("seal"):
            check(certificate, path, first, "a seal without its segment")
            seal = skip(folder, path, certificate, epochs, frontier, previous, generation, rows)
            for index in [index for index in ends if first <= index <= seal["last"]]:
                ends.pop(index)
            number, previous = seal["last"] + 1, base64.b64decode(seal["leaf"])
            generation = seal.get("gen")
            gaps.append((first, number))
            state.update(records=number, root=b64(root(frontier)))
            check(not head or head[0] != number or head[1] == state["root"], path, number - 1, "another history")
            check(roots.get(number, state["root"]) == state["root"], path, number - 1, "another history")
            continue
        data, begin, before = read(path), list(frontier), previous
        data = unpack(data, path) if path.endswith(".zst") else data
        end = None
        totals, connectors, times_seen = collections.Counter(), collections.Counter(), []
        lines = data.split(b"\n")
        for line in lines[:-1]:
            try:
                value = record(line, number, previous)
            except Bad as bad:
                raise Bad(path, number, bad.args[0])
            if number == 0:
                details = value["what"].get("det", {})
                own = [f"{n}+{i.hex()}+{b64(bytes([1]) + k)}" for n, i, k in names]
                check([details.get("key"), details.get("epoch"), details.get("origin")] == own + [names[0][0]],
                      path, 0, "genesis does not name the keys")
            check(end is None or number < end, path, number, "its epoch has ended")
            if value["what"]["op"] == "key.rotate":
                check(number in ends and ends[number]["line"] == line, path, number, "no epoch's end")
                end = ends.pop(number)["size"]
            totals[value["what"]["op"] + "/" + value["out"]["code"]] += 1
            if isinstance(value["what"].get("conn"), str):
                connectors[json.dumps(value["what"]["conn"], ensure_ascii=False).encode()] += 1
            if value["ph"] == "outcome" and "gen" in value:
                generation = max(generation or 0, value["gen"])
            times_seen.append(value["_t"])
            last_operation, previous = value["what"]["op"], sha(b"\x00" + line)
            grow(frontier, number, previous, rows)
            number += 1
            state.update(records=number, root=b64(root(frontier)))
            check(not head or head[0] != number or head[1] == state["root"], path, number - 1, "another history")
            check(roots.get(number, state["root"]) == state["root"], path, number - 1, "another history")
        check(lines[-1] == b"", path, number, "the last line has no line feed")
        check(end in (None, number), path, number, "its epoch ends elsewhere")
        if "seal" not in entry:
            state["open"] = True
            continue
        check(times_seen, path, None, "it is empty")
        if last_operation == "segment.seal":
            totals["segment.seal/granted"] -= 1
        content = {"bytes": len(data), "first": first, "last": number - 1, "leaf": b64(previous), "prev": b64(before),
                   "front": [b64(h) for h in begin], "next": [b64(h) for h in frontier], "raw": b64(sha(data)), "v": 1,
                   "time": [times_seen[0], times_seen[-1]], "tot": {k: v for k, v in totals.items() if v},
                   "conn": [[json.loads(k), connectors[k]] for k in sorted(connectors)]}
        if generation is not None:
            content["gen"] = generation
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        expected = f"{names[0][0]}\n{number}\n{b64(root(frontier))}\n{text}\n".encode()
        try:
            note = read(entry["seal"])
            signed_text = open_note(note, epochs.signers(size_of(note)))
        except Bad as bad:
            raise Bad(entry["seal"], None, bad.args[0])
        check(signed_text == expected, entry["seal"], first, "the records are not the ones that were sealed")
    check(not ends, "epochs", number, "an epoch ends after the log")
    check(max(roots, default=0) <= number, "checkpoint", number, "a signed head covers more records than there are")
    check(not pruned, "pruned", None, "there is no segment that it could speak of")
    check(not head or head[0] <= number, "checkpoint", number, "it covers more records than there are")
    check_tiles(folder, tiles, rows, gaps, number)


if __name__ == "__main__":
    results = [verify(folder) for folder in sys.argv[1:]]
    for result in results:
        print(json.dumps(result))
    sys.exit(0 if results and all(result["valid"] for result in results) else 1)
