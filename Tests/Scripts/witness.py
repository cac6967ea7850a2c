#!/usr/bin/env python3
"""A small witness after C2SP tlog-witness and tlog-cosignature, for tests.

Keeps the latest head per log, checks and stores it under one lock, answers 409 with the size it knows, and signs with
openssl. Misbehaviours are switched by writing a word into the file `behaviour` of its folder:

  honest | wrong-key | older | future | flood | silent | redirect | large

Prints `vkey <key>` and `listening <port>` when ready.
"""
import argparse
import base64
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


class Key:
    """An Ed25519 key in a PEM file."""

    def __init__(self, path):
        self.path = path
        if not os.path.exists(path):
            openssl("genpkey", "-algorithm", "ed25519", "-out", path)
        self.public = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")[-32:]

    def sign(self, message):
        with tempfile.NamedTemporaryFile() as file:
            file.write(message)
            file.flush()
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", file.name)


def is_signed(public, message, signature):
    spki = bytes.fromhex("302a300506032b6570032100") + public
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", spki), ("text", message), ("sig", signature)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        result = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", folder + "/key",
             "-rawin", "-in", folder + "/text", "-sigfile", folder + "/sig"], capture_output=True)
    return result.returncode == 0


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def is_consistent(old, old_root, new, new_root, proof):
    """RFC 9162, section 2.1.4.2."""
    if old == 0:
        return not proof
    if old == new:
        return not proof and old_root == new_root
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    if not proof:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = proof[0]
    for item in proof[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node(item, first), node(item, second)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            second = node(second, item)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class Witness:
    def __init__(self, folder, name, log_keys):
        self.folder, self.name = folder, name
        self.key = Key(os.path.join(folder, "witness.pem"))
        self.stranger = Key(os.path.join(folder, "stranger.pem"))
        self.lock = threading.Lock()
        self.logs = {}
        for text in log_keys:
            origin, _, key = text.strip().split("+", 2)
            self.logs[origin] = base64.b64decode(key)[1:]

    @property
    def key_id(self):
        return hashlib.sha256(self.name.encode() + b"\n\4" + self.key.public).digest()[:4]

    @property
    def vkey(self):
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([4]) + self.key.public).decode()}"

    @property
    def behaviour(self):
        try:
            with open(os.path.join(self.folder, "behaviour")) as file:
                return file.read().strip()
        except FileNotFoundError:
            return "honest"

    def state_path(self, origin):
        return os.path.join(self.folder, hashlib.sha256(origin.encode()).hexdigest())

    def load(self, origin):
        try:
            with open(self.state_path(origin)) as file:
                state = json.load(file)
            return state["size"], base64.b64decode(state["root"])
        except FileNotFoundError:
            return 0, b""

    def store(self, origin, size, root):
        path = self.state_path(origin)
        with open(path + ".new", "w") as file:
            json.dump({"size": size, "root": base64.b64encode(root).decode()}, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)

    def cosign(self, text, seconds=0, key=None):
        stamp = int(time.time()) + seconds
        signature = (key or self.key).sign(b"cosignature/v1\ntime %d\n" % stamp + text)
        blob = base64.b64encode(self.key_id + stamp.to_bytes(8, "big") + signature).decode()
        return f"— {self.name} {blob}\n".encode()

    def add_checkpoint(self, body):
        """Returns status, content type and body."""
        plain = "text/plain"
        head, separator, note = body.partition(b"\n\n")
        lines = head.split(b"\n")
        if not separator or not lines[0].startswith(b"old "):
            return 400, plain, b""
        old = int(lines[0][4:])
        proof = [base64.b64decode(line, validate=True) for line in lines[1:]]
        text, separator, signatures = note.partition(b"\n\n")
        text += b"\n"
        origin, size, root = text.decode().split("\n")[:3]
        size, root = int(size), base64.b64decode(root, validate=True)
        if len(proof) > 63 or any(len(item) != 32 for item in proof):
            return 400, plain, b""
        if origin not in self.logs:
            return 404, plain, b""
        key_id = hashlib.sha256(origin.encode() + b"\n\1" + self.logs[origin]).digest()[:4]
        for line in signatures.decode().splitlines():
            _, name, blob = line.split(" ")
            blob = base64.b64decode(blob)
            if name == origin and blob[:4] == key_id and is_signed(self.logs[origin], text, blob[4:]):
                break
        else:
            return 403, plain, b""
        if old > size:
            return 400, plain, b""
        with self.lock:
            known, known_root = self.load(origin)
            if old != known or (old == size and old > 0 and root != known_root):
                return 409, "text/x.tlog.size", b"%d\n" % known
            if not is_consistent(old, known_root, size, root, proof):
                return 422, plain, b""
            self.store(origin, size, root)
        behaviour = self.behaviour
        if behaviour == "wrong-key":
            return 200, plain, self.cosign(text, key=self.stranger)
        if behaviour == "future":
            return 200, plain, self.cosign(text, seconds=86_400)
        if behaviour == "flood":
            line = f"— stranger.example/w {base64.b64encode(bytes(76)).decode()}\n".encode()
            return 200, plain, line * 10_000 + self.cosign(text)
        return 200, plain, self.cosign(text)


def make_handler(witness):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            behaviour = witness.behaviour
            if behaviour == "silent":
                time.sleep(3600)
            if behaviour == "older":
                answer = 409, "text/x.tlog.size", b"1\n"
            elif behaviour == "redirect":
                answer = 307, "text/plain", b""
            elif behaviour == "large":
                answer = 200, "text/plain", b"x" * 100_000
            elif not self.path.endswith("/add-checkpoint"):
                answer = 404, "text/plain", b""
            else:
                try:
                    answer = witness.add_checkpoint(body)
                except (ValueError, IndexError):
                    answer = 400, "text/plain", b""
            status, kind, content = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if status == 307:
                self.send_header("Location", "/elsewhere/add-checkpoint")
            self.end_headers()
            self.wfile.write(content)
            print(f"{self.path} {status} {behaviour} {body.split(chr(10).encode(), 1)[0].decode()}", flush=True)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--name", default="witness.example/w1")
    parser.add_argument("--log", action="append", default=[], help="log.vkey, or one of its lines")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert", help="PEM with certificate and key: serve https")
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    keys = []
    for text in arguments.log:
        if os.path.exists(text):
            with open(text) as file:
                text = file.readline()
        keys.append(text)
    witness = Witness(arguments.folder, arguments.name, keys)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), make_handler(witness))
    server.daemon_threads = True
    if arguments.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.cert)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"vkey {witness.vkey}", flush=True)
    print(f"listening {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
