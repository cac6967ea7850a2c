#!/usr/bin/env python3
"""Does what a thief of today's keys would: rewrites a record of an earlier epoch, chains and signs everything anew, and
packs a proof bundle with the genuine ends of the epochs.

usage: forge_bundle.py VERIFY.PY LOGFOLDER OUT.tar    keys must lie in files; needs the openssl command
"""
import base64, glob, hashlib, importlib.util, json, os, subprocess, sys, tempfile

spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
bundle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bundle)
folder, out = sys.argv[2:4]
PREFIX = bytes.fromhex("302e020100300506032b657004220420")  # PKCS #8 of an Ed25519 seed, RFC 8410


def read(path):
    with open(os.path.join(folder, path), "rb") as file:
        return file.read()


def sign(seed, text):
    with tempfile.TemporaryDirectory() as place:
        key, data = os.path.join(place, "key"), os.path.join(place, "text")
        for path, content in (key, PREFIX + seed), (data, text):
            with open(path, "wb") as file:
                file.write(content)
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-in", data, "-inkey", key, "-keyform", "DER"]
        return subprocess.run(command, check=True, capture_output=True).stdout


def seeds():
    """The stable key's and the open epoch's; and the epoch's number."""
    lasting, epoch = read("keys/log.keys"), read("keys/epoch.key")
    lasting, epoch = lasting[lasting.index(b"\n") + 1:], epoch[epoch.index(b"\n") + 1:]
    return lasting[32:64], epoch[56:88], int.from_bytes(epoch[:8], "big")


def main():
    stable, live, number = seeds()
    origin = read("log.vkey").split(b"+")[0].decode()
    names = {line.split("+", 2)[0]: line.split("+", 2)[1] for line in read("log.vkey").decode().split()}
    proofs = sorted(glob.glob(os.path.join(folder, "epochs", "*")))
    for path in proofs:
        line = base64.b64decode(read(path).split(b"\n")[1][6:])
        name, key, _ = json.loads(line)["what"]["det"]["key"].split("+", 2)
        names[name] = key
    lines = [line for path in sorted(glob.glob(os.path.join(folder, "seg/*/*/*/*.jsonl")), key=os.path.basename)
             for line in read(path).splitlines()]
    previous, frontier, forged = bytes(32), [], []
    for index, line in enumerate(lines):
        value = json.loads(line)
        value["_p"] = base64.b64encode(previous).decode()
        if index == 3:
            value["who"] = {"kind": "human", "sid": "s-victimvictimvictimvict"}
        line = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        forged.append(line)
        previous = bundle.sha(b"\0" + line)
        bundle.grow(frontier, index, previous)
    size, records = len(forged), b"".join(line + b"\n" for line in forged)
    text = f"{origin}\n{size}\n{base64.b64encode(bundle.root(frontier)).decode()}\n".encode()
    note = text + b"\n"
    for name, seed in (origin, stable), (f"{origin}/epoch-{number:06}", live):
        blob = base64.b64encode(bytes.fromhex(names[name]) + sign(seed, text))
        note += f"\u2014 {name} ".encode() + blob + b"\n"
    said = {"v": 1, "origin": origin, "first": 0, "end": size, "shown": size, "bytes": len(records),
            "checkpoint_size": size, "since": "", "until": "", "filter": {}, "purpose": "", "recorded": True}
    members = [(name, b"x") for name in ("README.txt", "LISEZMOI.txt", "verify.py")]
    members += [("manifest.json", json.dumps(said).encode()), ("log.vkey", read("log.vkey"))]
    members += [(f"epochs/{os.path.basename(path)}", read(path)) for path in proofs]
    members += [("checkpoint", note), ("range/frontier", b"0\n"), ("range/records.jsonl", records), ("consistency/range", b"")]
    # Whatever he writes here, two trees are not the beginning of one.
    members += [("consistency/epochs", b"\n".join([(base64.b64encode(bytes(32)) + b"\n") * 3] * len(proofs)))]
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members).encode()
    with open(out, "wb") as file:
        for name, data in [*members, ("SHA256SUMS", sums)]:
            file.write(bundle.header("coffre-audit/" + name, len(data), 0) + data + bytes(-len(data) % 512))
        file.write(bytes(1024))


main()
