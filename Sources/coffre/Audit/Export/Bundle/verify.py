#!/usr/bin/env python3
"""Checks proof bundles of a Coffre audit log with nothing but Python and the openssl command (3.0 or later).

usage: python3 verify.py --key log.vkey [--kept CHECKPOINT] [--witness VKEY]... [--tsa-ca FILE] BUNDLE.tar...

--key    YOUR copy of the log's public keys, which reached you by another way than the bundle. Never the bundle's own.
--kept   a checkpoint that you kept from an earlier bundle, mail or report: the log must continue it.
--witness  the public key (NAME+ID+BASE64) of a witness that you trust: its cosignature is checked and shown.
--tsa-ca   the certificate (PEM) of the authority behind a time stamp in the bundle: openssl checks it.

Exit status: 0 when every bundle proves what it shows, 1 when one does not, 2 when a file cannot be read or the key file
is not a copy of log.vkey.
Formats: RFC 6962 section 2.1 (tree), RFC 9162 section 2.1 (proofs), C2SP signed-note, tlog-checkpoint, tlog-proof,
POSIX ustar.
"""
import base64, bisect, hashlib, json, os, re, subprocess, sys, tempfile

FOLDER = "coffre-audit/"
SMALL = 1 << 20  # largest member other than the records, in bytes
LINE = 16384  # longest record
EVERYTHING = ["README.txt", "LISEZMOI.txt", "verify.py", "manifest.json", "log.vkey", "checkpoint", "range/frontier",
              "range/records.jsonl", "consistency/range"]
OUTSIDE = {"cosigned": [], "stamped": ["outside/stamped.tsr"]}  # what others said of an earlier head


class Bad(Exception):
    """What does not fit together."""


def check(condition, reason):
    if not condition:
        raise Bad(reason)


def sha(data):
    return hashlib.sha256(data).digest()


def node(left, right):
    return sha(b"\x01" + left + right)


def decode(text, length):
    """Base64 in its one form."""
    data = base64.b64decode(text, validate=True) if len(text) <= 2 * length + 4 else b""
    check(len(data) == length and base64.b64encode(data) == text, "base64")
    return data


def hashes(data, name):
    check(data == b"" or data.endswith(b"\n"), f"{name}: it is cut off")
    try:
        return [decode(line, 32) for line in data.split(b"\n")[:-1]]
    except (Bad, ValueError):
        raise Bad(f"{name}: not a list of hashes")


def number(text, name):
    check(re.fullmatch(rb"0|[1-9][0-9]{0,18}", text), f"{name}: not a number")
    return int(text)


# The container

def header(name, size, time):
    def octal(value, digits):
        return b"%0*o\0" % (digits, value)

    block = name.encode().ljust(100, b"\0") + octal(0o600, 7) + octal(0, 7) + octal(0, 7) + octal(size, 11)
    block += octal(time, 11) + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000" + b"root".ljust(32, b"\0") * 2
    block = block.ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


class Archive:
    """The members of a bundle, in order; nothing but their one canonical form is accepted."""

    def __init__(self, file):
        self.file, self.time, self.sums = file, None, {}

    def exactly(self, count):
        data = self.file.read(count)
        check(len(data) == count, "the archive is cut off")
        return data

    def next(self):
        """(name, size) of the member that follows, None at the end."""
        block = self.exactly(512)
        if block == bytes(512):
            check(self.exactly(512) == bytes(512) and self.file.read(1) == b"", "something follows the archive's end")
            return None
        name = block[:100].rstrip(b"\0").decode("ascii", "replace")
        check(re.fullmatch(rb"[0-7]{11}", block[124:135]) and re.fullmatch(rb"[0-7]{11}", block[136:147])
              and name.isascii(), "a header of the archive is not in its one form")
        size, time = int(block[124:135], 8), int(block[136:147], 8)
        check(header(name, size, time) == block and name.startswith(FOLDER) and self.time in (None, time),
              f"{name!a}: its header is not in its one form")
        self.time = time
        return name[len(FOLDER):], size

    def end(self, name, size, hashed):
        check(not any(self.exactly(-size % 512)), f"{name}: its padding is not empty")
        self.sums[name] = hashed.hexdigest()

    def small(self, name, size):
        check(size <= SMALL, f"{name}: larger than {SMALL} bytes")
        data = self.exactly(size)
        self.end(name, size, hashlib.sha256(data))
        return data

    def lines(self, name, size):
        """Its lines without line feeds, one at a time."""
        hashed, left = hashlib.sha256(), size
        while left:
            line = self.file.readline(min(left, LINE + 1))
            check(line.endswith(b"\n"), f"{name}: a line is cut off or longer than {LINE} bytes")
            hashed.update(line)
            left -= len(line)
            yield line[:-1]
        self.end(name, size, hashed)


# Signatures

def vkeys(data, count=2):
    """[(name, key id, Ed25519 key)] of a log.vkey file."""
    found = []
    try:
        for line in data.split(b"\n")[:-1]:
            name, key_id, text = line.split(b"+", 2)
            blob = decode(text, 33)
            check(blob[0] == 1 and key_id == sha(name + b"\n" + blob)[:4].hex().encode(), "key")
            found.append((name, bytes.fromhex(key_id.decode()), blob[1:]))
    except (Bad, ValueError):
        raise Bad("log.vkey: not a list of C2SP verifier keys")
    check(len(found) == count and data.endswith(b"\n"), "log.vkey: another number of keys")
    return found


def own_keys(data):
    """YOUR copy as the log writes it: mail and editors change the ends of lines, and no key by that."""
    text = (data + b"\n").replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    if text.count(b"\n") == 1:
        name, last = vkeys(text, 1)[0][0].decode("ascii", "backslashreplace"), "/epoch-000000"
        missing = name[:-len(last)] if name.endswith(last) else name + last
        raise Bad(f"log.vkey: the key of {missing} is missing, both lines of log.vkey are needed")
    vkeys(text)
    return text


def is_signed(key, text, signature):
    der = bytes.fromhex("302a300506032b6570032100") + key
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("key", "text", "signature")]
        for path, data in zip(paths, (der, text, signature)):
            with open(path, "wb") as file:
                file.write(data)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths[0], "-rawin",
                   "-in", paths[1], "-sigfile", paths[2]]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Epochs:
    """Which key signs what: each epoch's seal is signed by its own key and introduces the next one's."""

    def __init__(self, keys):
        self.stable, self.keys, self.ends, self.roots = keys[0], [keys[1]], [], []

    def signers(self, note):
        """The stable key and that of the epoch in which the log grew to the size that the note names."""
        lines = note.split(b"\n", 2)
        size = number(lines[1], "a note") if len(lines) == 3 else 0
        return [self.stable, self.keys[bisect.bisect_left(self.ends, size)]]

    def head(self, note, name):
        return head(note, self.signers(note), name)

    def add(self, data, name):
        match = re.match(rb"c2sp\.org/tlog-proof@v1\nextra ([A-Za-z0-9+/=]+)\nindex (0|[1-9][0-9]{0,18})\n", data)
        check(match, f"{name}: not the proof of an epoch's end")
        line, index = base64.b64decode(match[1] + b"=="), int(match[2])
        check(base64.b64encode(line) == match[1], f"{name}: base64")
        what = record(line, index, None).get("what", {})
        details, epoch = what.get("det", {}), len(self.keys)
        own = self.stable[0].decode() + f"/epoch-{epoch:06}"
        check(what.get("op") == "key.rotate" and details.get("epoch") == epoch, f"{name}: another record")
        new = vkeys(str(details.get("key")).encode() + b"\n", 1)
        check(new[0][0] == own.encode(), f"{name}: another key")
        path, _, note = data[match.end() - 1:].partition(b"\n\n")
        size, top = head(note, [self.stable, self.keys[-1]] + new, name)
        path = hashes(path[1:] + b"\n" if path else b"", name)
        check(max([index, *self.ends[-1:]]) < size <= index + 2, f"{name}: another size")
        check(is_included(sha(b"\0" + line), index, size, path, top), f"{name}: it proves nothing")
        self.keys += new
        self.ends.append(size)
        self.roots.append(top)

    def follow(self, data, size, top):
        """What the keys of earlier epochs have signed must be the beginning of what today's sign."""
        name = "consistency/epochs"
        paths = (data or b"").split(b"\n\n")
        check(len(paths) == max(1, len(self.ends)), f"{name}: not one proof for each epoch")
        for place, (old, old_root) in enumerate(zip(self.ends, self.roots)):
            new, new_root = [*zip(self.ends, self.roots), (size, top)][place + 1]
            path = hashes(paths[place] + b"\n" if place + 1 < len(paths) else paths[place], name)
            check(is_consistent(old, old_root, new, new_root, path),
                  f"epoch {place} ended with {old} records that are not the first ones of this log")


def head(note, keys, name):
    """(size, root) of a checkpoint that every one of `keys` has signed."""
    text, separator, signatures = note.rpartition(b"\n\n")
    text += b"\n"
    check(separator and note.endswith(b"\n") and len(note) <= 16384, f"{name}: not a signed note")
    missing, seen = list(keys), set()
    for line in signatures[:-1].split(b"\n"):
        match = re.fullmatch("\u2014 ([!-*,-~]+) ([A-Za-z0-9+/]+=*)".encode(), line)
        check(match and (match[1], match[2][:5]) not in seen, f"{name}: not a signature line, or one that stands twice")
        seen.add((match[1], match[2][:5]))  # the name, and the first thirty bits of the key id
        for key in missing:
            blob = base64.b64decode(match[2] + b"==")
            if key[0] == match[1] and key[1] == blob[:4]:
                check(base64.b64encode(blob) == match[2] and len(blob) == 68 and is_signed(key[2], text, blob[4:]),
                      f"{name}: a signature is false")
                missing.remove(key)
                break
    check(not missing, f"{name}: unknown log, it is not signed with your keys")
    lines = text.split(b"\n")
    check(len(lines) == 4 and lines[0] == keys[0][0] and lines[3] == b"", f"{name}: not a checkpoint of this log")
    try:
        return number(lines[1], name), decode(lines[2], 32)
    except (Bad, ValueError):
        raise Bad(f"{name}: not a checkpoint of this log")


# The tree

def grow(frontier, size, leaf):
    while size & 1:
        leaf, size = node(frontier.pop(), leaf), size >> 1
    frontier.append(leaf)


def root(frontier):
    if not frontier:
        return sha(b"")
    result = frontier[-1]
    for left in reversed(frontier[:-1]):
        result = node(left, result)
    return result


def is_included(leaf, index, size, path, expected):
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        return False
    (here, last), value = (index, size - 1), leaf
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            value = node(sibling, value)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            value = node(value, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and value == expected


def is_consistent(old, old_root, new, new_root, path):
    """RFC 9162, section 2.1.4.2."""
    if old == new or old == 0:
        return not path and (old_root == new_root if old == new else old_root == sha(b""))
    if old > new or not path:
        return False
    if old & (old - 1) == 0:
        path = [old_root] + path
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first = second = path[0]
    for value in path[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            first, second = node(value, first), node(value, second)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            second = node(second, value)
        here, last = here >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


# The bundle

def unique(items):
    check(len(dict(items)) == len(items), "a name stands twice")
    return dict(items)


def record(line, index, previous):
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Bad(f"record {index}: not JSON")
    check(isinstance(value, dict) and value.get("_s") == index, f"record {index}: another number")
    check(previous is None or value.get("_p") == base64.b64encode(previous).decode(),
          f"record {index}: it does not follow the one before")
    return value


def names_of(order, single):
    kept = ["consistency/kept.checkpoint", "consistency/kept"] if "consistency/kept" in order else []
    told = [name for kind, more in OUTSIDE.items() if f"outside/{kind}" in order
            for name in (f"outside/{kind}.checkpoint", *more, f"outside/{kind}")]
    epochs = [f"epochs/epoch-{n:06}.tlog-proof" for n in range(sum(name.startswith("epochs/") for name in order))]
    steps = ["consistency/epochs"] if epochs else []
    return EVERYTHING[:5] + epochs + EVERYTHING[5:] + steps + kept + told + [f"proofs/{index}.tlog-proof" for index in single] \
        + ["SHA256SUMS"]


def verify(file, trusted, kept=None, witnesses=(), authority=None):
    """Facts of one bundle; Bad when it proves nothing."""
    try:
        return read(file, trusted, kept, witnesses, authority)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise Bad(f"something in it is not in its form ({error})")


def cosigner(text):
    """(name, key id, Ed25519 key) of a witness: C2SP tlog-cosignature."""
    match = re.fullmatch(r"([!-*,-~]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)", text)
    check(match, f"{text}: not the key of a witness")
    name, blob = match[1].encode(), decode(match[3].encode(), 33)
    check(blob[0] == 4 and sha(name + b"\n" + blob)[:4].hex() == match[2], f"{text}: not the key of a witness")
    return name, bytes.fromhex(match[2]), blob[1:]


def outside(kind, small, epochs, facts, witnesses, authority):
    """What others said of an earlier head, in lines for people."""
    note = small[f"outside/{kind}.checkpoint"]
    old, old_root = epochs.head(note, f"outside/{kind}.checkpoint")
    check(is_consistent(old, old_root, facts["size"], facts["root"], hashes(small[f"outside/{kind}"], f"outside/{kind}")),
          f"FORK: two histories are signed\n{note.decode()}\n{facts['note'].decode()}")
    if kind == "stamped":
        if authority is None:
            return [f"a time stamp over {old} records, NOT CHECKED: --tsa-ca"]
        return [f"a time stamp over {old} records holds: {stamped(note, small['outside/stamped.tsr'], authority)}"]
    text, _, signatures = note.rpartition(b"\n\n")
    lines, told, known = signatures.split(b"\n")[:-1], [], 0
    for name, key_id, key in witnesses:
        for line in lines:
            blob = base64.b64decode(line.rpartition(b" ")[2])
            if line[4:].rpartition(b" ")[0] == name and blob[:4] == key_id:
                seconds = int.from_bytes(blob[4:12], "big")
                check(len(blob) == 76 and line.endswith(b" " + base64.b64encode(blob))
                      and is_signed(key, b"cosignature/v1\ntime %d\n" % seconds + text + b"\n", blob[12:]),
                      f"outside/cosigned.checkpoint: the cosignature of {name.decode()} is false")
                told.append(f"{name.decode()} cosigned {old} records at {seconds} (seconds since 1970)")
                known += 1
                break
        else:
            told.append(f"no cosignature of {name.decode()} in this bundle")
    if others := len(lines) - 2 - known:
        told.append(f"{others} cosignatures over {old} records NOT CHECKED: --witness")
    return told


def stamped(note, stamp, authority):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("note", "stamp", "ca")]
        for path, data in zip(paths, (note, stamp, authority)):
            with open(path, "wb") as file:
                file.write(data)
        result = subprocess.run(["openssl", "ts", "-verify", "-data", paths[0], "-in", paths[1], "-CAfile", paths[2]],
                                capture_output=True)
        check(result.returncode == 0, "outside/stamped.tsr: openssl does not accept it with this authority")
        words = subprocess.run(["openssl", "ts", "-reply", "-in", paths[1], "-text"], capture_output=True).stdout
    match = re.search(rb"Time stamp: ([ -~]+)", words)
    return match[1].decode() if match else "at an unknown time"


def read(file, trusted, kept, witnesses, authority):
    keys, archive, small, facts = vkeys(trusted), Archive(file), {}, None
    while (member := archive.next()) is not None:
        name, size = member
        check(name not in archive.sums, f"{name}: it stands twice")
        if name == "range/records.jsonl":
            check("range/frontier" in small, f"{name}: not in its place")
            facts = records(archive, size, small["range/frontier"])
        else:
            small[name] = archive.small(name, size)
    order = list(archive.sums)
    check(facts and order[-1] == "SHA256SUMS", "members are missing")
    single = [int(match[1]) for match in (re.fullmatch(r"proofs/(0|[1-9]\d{0,18})\.tlog-proof", n) for n in order)
              if match]
    check(order == names_of(order, single), "members are missing or too many")
    sums = "".join(f"{archive.sums[name]}  {name}\n" for name in order[:-1])
    check(small["SHA256SUMS"].decode("ascii", "replace") == sums, "SHA256SUMS: not the hashes of these files")
    check(small["log.vkey"] == trusted, "unknown log: its keys are not yours")
    epochs = Epochs(keys)
    for name in order:
        if name.startswith("epochs/"):
            epochs.add(small[name], name)
    facts["size"], facts["root"] = epochs.head(small["checkpoint"], "checkpoint")
    epochs.follow(small.get("consistency/epochs"), facts["size"], facts["root"])
    facts["note"], facts["sums"] = small["checkpoint"], archive.sums["SHA256SUMS"]
    check(is_consistent(facts["end"], facts.pop("end_root"), facts["size"], facts["root"],
                        hashes(small["consistency/range"], "consistency/range")),
          "the records are not those that the checkpoint signs")
    for index in single:
        proof(small[f"proofs/{index}.tlog-proof"], index, facts)
    facts["kept"] = None
    if "consistency/kept" in small:
        note = small["consistency/kept.checkpoint"]
        old, old_root = epochs.head(note, "consistency/kept.checkpoint")
        check(is_consistent(old, old_root, facts["size"], facts["root"],
                            hashes(small["consistency/kept"], "consistency/kept")),
              f"FORK: two histories are signed\n{note.decode()}\n{facts['note'].decode()}")
        facts["kept"] = old
    facts["outside"] = []
    for kind in OUTSIDE:
        if f"outside/{kind}" in small:
            facts["outside"] += outside(kind, small, epochs, facts, witnesses, authority)
    if kept is not None:
        old, old_root = epochs.head(kept, "the checkpoint that you kept")
        check(old <= facts["size"], f"NOT COMPARED: your checkpoint covers {old} records, this bundle's {facts['size']}: it "
              "is older than your checkpoint, or the log was cut off; ask for a new bundle")
        same = old == facts["size"] and old_root == facts["root"]
        check(same or old != facts["size"], f"FORK: two histories are signed\n{kept.decode()}\n{facts['note'].decode()}")
        check(same or (facts["kept"] == old and small["consistency/kept.checkpoint"].split(b"\n\n")[0]
                       == kept.split(b"\n\n")[0]),
              "no proof that this log continues your checkpoint: ask for coffre audit export --previous with it")
        facts["kept"] = old
    claims(small["manifest.json"], facts, keys)
    del facts["leaves"]
    return facts


def records(archive, size, start):
    first, separator, rest = start.partition(b"\n")
    first = number(first, "range/frontier")
    frontier = hashes(rest, "range/frontier")
    check(separator and len(frontier) == bin(first).count("1"), "range/frontier: not a tree of that size")
    facts = {"first": first, "shown": 0, "leaves": {}, "bytes": size}
    previous = bytes(32) if first == 0 else None
    index = first
    for line in archive.lines("range/records.jsonl", size):
        if line.startswith(b"{"):
            value = record(line, index, previous)
            facts["last_time"] = value.get("_t")
            facts.setdefault("first_time", value.get("_t"))
            facts["shown"] += 1
            previous = sha(b"\x00" + line)
            if facts["shown"] <= 256:
                facts["leaves"][index] = previous
        else:
            try:
                previous = decode(line, 32)
            except (Bad, ValueError):
                raise Bad(f"record {index}: neither a record nor its hash")
        grow(frontier, index, previous)
        index += 1
    check(index > first, "range/records.jsonl: it is empty")
    return {**facts, "end": index, "end_root": root(frontier)}


def proof(data, index, facts):
    name = f"proofs/{index}.tlog-proof"
    begin = f"c2sp.org/tlog-proof@v1\nindex {index}\n".encode()
    check(data.startswith(begin) and index in facts["leaves"], f"{name}: not a proof of a record that is shown")
    path, _, note = data[len(begin) - 1:].partition(b"\n\n")
    check(note == facts["note"], f"{name}: its checkpoint is another")
    path = hashes(path[1:] + b"\n" if path else b"", name)
    check(is_included(facts["leaves"][index], index, facts["size"], path, facts["root"]), f"{name}: it proves nothing")


def claims(data, facts, keys):
    """What the exporter says of the bundle must be what it holds."""
    try:
        said = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
        expected = {"v": 1, "origin": keys[0][0].decode(), "first": facts["first"], "end": facts["end"],
                    "shown": facts["shown"], "bytes": facts["bytes"], "checkpoint_size": facts["size"]}
        check(all(said[name] == value and type(said[name]) is type(value) for name, value in expected.items()), "other")
        facts["said"] = {name: said[name] for name in ("filter", "since", "until", "purpose", "recorded")}
    except (Bad, ValueError, KeyError, TypeError, RecursionError):
        raise Bad("manifest.json: it does not describe this bundle")


def printable(value):
    return json.dumps(value, ensure_ascii=True)


def openssl_works():
    """Whether there is an openssl that checks Ed25519 signatures: RFC 8032, section 7.1, test 2."""
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                              "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    try:
        return is_signed(key, b"\x72", signature)
    except OSError:
        return False


def main(arguments):
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    if not openssl_works():
        print("verify.py needs the openssl command, version 3.0 or later", file=sys.stderr)
        return 2
    options, paths, witnesses, state = {}, [], [], 0
    words = iter(arguments)
    for word in words:
        if word in ("--key", "--kept", "--tsa-ca"):
            options[word] = next(words, None)
        elif word == "--witness":
            witnesses.append(next(words, ""))
        elif word.startswith("-"):
            paths, options = [], {}
            break
        else:
            paths.append(word)
    if not paths or not options.get("--key"):
        print(__doc__, file=sys.stderr)
        return 2
    heads = {}
    try:
        witnesses = [cosigner(text) for text in witnesses]
    except (Bad, ValueError) as bad:
        print(f"--witness: {bad}", file=sys.stderr)
        return 2
    try:
        inputs = {name: open(path, "rb").read(SMALL) for name, path in options.items()}
        try:
            trusted = own_keys(inputs["--key"])
        except Bad as bad:
            print(f"{options['--key']}: the key file is wrong, no bundle was looked at: {bad}", file=sys.stderr)
            return 2
        for path in paths:
            with open(path, "rb") as file:
                try:
                    facts = verify(file, trusted, inputs.get("--kept"), witnesses, inputs.get("--tsa-ca"))
                    other = heads.setdefault(facts["size"], facts)
                    check(other["root"] == facts["root"],
                          f"FORK: two histories are signed\n{other['note'].decode()}\n{facts['note'].decode()}")
                except Bad as bad:
                    print(f"{path}: REJECTED: {bad}")
                    state = 1
                    continue
            print(f"{path}: VALID")
            print(f"  records {facts['first']} to {facts['end'] - 1} of the log, without a gap; {facts['shown']} are shown,"
                  f" {facts['end'] - facts['first'] - facts['shown']} are hashes only")
            if facts["shown"]:
                print(f"  times of the first and last shown: {printable(facts['first_time'])},"
                      f" {printable(facts['last_time'])}")
            print(f"  signed head: {facts['size']} records, root {base64.b64encode(facts['root']).decode()}")
            if facts["kept"] is not None:
                print(f"  continues the history that was kept over {facts['kept']} records")
            for line in facts["outside"]:
                print(f"  {line}")
            print(f"  the exporter says (not proven): {printable(facts['said'])}")
            print(f"  SHA-256 of SHA256SUMS, as in the log's own audit.export record: {facts['sums']}")
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    return state


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
