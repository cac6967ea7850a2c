#!/usr/bin/env python3
"""Where alerts arrive, for tests: a mail server (aiosmtpd, TLS from the first byte) and a web server behind https that checks
the signature. Everything that arrives is written into the folder, in the order of arrival.

  SMTP         mail-N.eml
  POST /hook   hook-N.json: {"status", "valid", "signature", "body"}

The files `mail-behaviour` and `hook-behaviour` change what happens to what comes next:
  honest | refuse (451, 503) | slow (an answer after 5 seconds) | spam (554 for mails with sentences, 422)
Prints `web PORT`, `smtps PORT` and `listening`.
"""
import argparse
import asyncio
import email
import hashlib
import hmac
import http.server
import json
import os
import ssl
import threading
import time

from aiosmtpd.smtp import SMTP


class Store:
    def __init__(self, folder):
        self.folder, self.lock, self.counts = folder, threading.Lock(), {}

    def write(self, kind, suffix, content):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            path = os.path.join(self.folder, f"{kind}-{self.counts[kind]:05d}.{suffix}")
        with open(path + ".new", "wb") as file:
            file.write(content)
        os.rename(path + ".new", path)

    def behaviour(self, kind):
        try:
            with open(os.path.join(self.folder, kind + "-behaviour")) as file:
                return file.read().strip()
        except FileNotFoundError:
            return "honest"


def web_handler(store, key):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            behaviour = store.behaviour("hook")
            if behaviour == "slow":
                time.sleep(5)
            signature = self.headers.get("X-Coffre-Signature", "")
            parts = dict(part.split("=", 1) for part in signature.split(",") if "=" in part)
            signed = parts.get("t", "").encode() + b"." + body
            tag = hmac.new(key, signed, hashlib.sha256).hexdigest()
            is_valid = hmac.compare_digest(tag, parts.get("v1", "")) and abs(time.time() - int(parts.get("t", 0))) < 300
            status = {"refuse": 503, "spam": 422}.get(behaviour, 204)
            record = {"status": status, "valid": is_valid, "signature": signature, "body": json.loads(body)}
            store.write("hook", "json", json.dumps(record).encode())
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler


class MailHandler:
    def __init__(self, store):
        self.store = store

    async def handle_DATA(self, server, session, envelope):
        behaviour = self.store.behaviour("mail")
        if behaviour == "slow":
            await asyncio.sleep(5)
        if behaviour == "refuse":
            return "451 try again later"
        if behaviour == "spam":
            content = email.message_from_bytes(envelope.content).get_payload(decode=True)
            if b"text was refused" not in content:
                return "554 this looks like spam"
        self.store.write("mail", "eml", envelope.content)
        return "250 OK"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--cert", required=True, help="PEM file with certificate and key")
    parser.add_argument("--key", required=True, help="file with the key of the signatures")
    arguments = parser.parse_args()
    with open(arguments.key, "rb") as file:
        key = file.read()
    store = Store(arguments.folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), web_handler(store, key))
    web.socket = context.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()

    async def serve():
        loop = asyncio.get_running_loop()
        handler = MailHandler(store)
        server = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0, ssl=context)
        print(f"web {web.server_port}", flush=True)
        print(f"smtps {server.sockets[0].getsockname()[1]}", flush=True)
        print("listening", flush=True)
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
