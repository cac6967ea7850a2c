#!/usr/bin/env python3
"""What else remembers the head of a log, for tests: a time-stamp authority and a web server behind https, and a mail
server. Everything that arrives is written into the folder.

  POST /tsa    answers an RFC 3161 request with `openssl ts` (folder/tsa.cnf)
  POST /hook   writes hook-N.json
  SMTP         writes mail-N.eml with the envelope in its first lines; STARTTLS, or TLS from the first byte

Misbehaviours of the authority are switched by a word in the file `behaviour`:
  honest | refuse | other | replay | garbage
Prints `web PORT`, `smtp PORT`, `smtps PORT` and `listening`.
"""
import argparse
import base64
import http.server
import os
import socketserver
import ssl
import subprocess
import threading


class Store:
    def __init__(self, folder):
        self.folder, self.lock, self.count = folder, threading.Lock(), 0
        self.first_reply = None

    def write(self, kind, suffix, content):
        with self.lock:
            self.count += 1
            path = os.path.join(self.folder, f"{kind}-{self.count}.{suffix}")
        with open(path + ".new", "wb") as file:
            file.write(content)
        os.rename(path + ".new", path)
        return path

    @property
    def behaviour(self):
        try:
            with open(os.path.join(self.folder, "behaviour")) as file:
                return file.read().strip()
        except FileNotFoundError:
            return "honest"

    def stamp(self, query):
        behaviour = self.behaviour
        if behaviour == "garbage":
            return bytes([0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]) * 10
        if behaviour == "replay" and self.first_reply:
            return self.first_reply
        if behaviour == "refuse":
            query = query[:20]
        if behaviour == "other":
            # Another text under the same nonce.
            changed = bytearray(query)
            changed[30] ^= 1
            query = bytes(changed)
        path = self.write("query", "tsq", query)
        reply = path + ".tsr"
        subprocess.run(["openssl", "ts", "-reply", "-config", self.folder + "/tsa.cnf", "-queryfile", path,
                        "-out", reply], check=True, capture_output=True, cwd=self.folder)
        with open(reply, "rb") as file:
            content = file.read()
        self.first_reply = self.first_reply or content
        return content


def web_handler(store):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, content = 404, "text/plain", b""
            if self.path == "/tsa" and self.headers["Content-Type"] == "application/timestamp-query":
                status, kind, content = 200, "application/timestamp-reply", store.stamp(body)
            elif self.path.startswith("/hook"):
                store.write("hook", "json", body)
                status = 204
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    return Handler


def smtp_handler(store, context, implicit, login):
    class Handler(socketserver.StreamRequestHandler):
        def say(self, text):
            self.wfile.write(text.encode() + b"\r\n")
            self.wfile.flush()

        def secure(self):
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

        def handle(self):
            try:
                self.converse()
            except (OSError, ValueError):
                pass

        def converse(self):
            is_secure, is_known, envelope = implicit, login is None, []
            if implicit:
                self.secure()
            self.say("220 mail.example ESMTP")
            while line := self.rfile.readline():
                line = line.rstrip(b"\r\n").decode()
                word = line.upper().split(" ")[0]
                if word == "EHLO":
                    lines = ["mail.example"] + ([] if is_secure else ["STARTTLS"])
                    lines += ["AUTH PLAIN LOGIN"] if login and is_secure else []
                    lines += ["SIZE 100000"]
                    for index, text in enumerate(lines):
                        self.say(("250 " if index == len(lines) - 1 else "250-") + text)
                elif word == "STARTTLS" and not is_secure:
                    self.say("220 go ahead")
                    self.secure()
                    is_secure = True
                elif not is_secure:
                    self.say("530 STARTTLS first")
                elif word == "AUTH":
                    is_known = base64.b64decode(line.split(" ")[2]) == b"\0" + login.replace(":", "\0").encode()
                    self.say("235 welcome" if is_known else "535 no")
                elif not is_known:
                    self.say("530 log in first")
                elif word in ("MAIL", "RCPT"):
                    envelope.append(line)
                    self.say("550 no such user" if "nobody@" in line else "250 ok")
                elif word == "DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(text[1:] if text.startswith(b".") else text)
                    store.write("mail", "eml", "\n".join(envelope).encode() + b"\n\n" + b"".join(lines))
                    self.say("250 taken")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("500 what?")

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--cert", required=True, help="PEM with certificate and key")
    parser.add_argument("--login", help="user:password that the mail server asks for")
    arguments = parser.parse_args()
    store = Store(arguments.folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), web_handler(store))
    web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
    servers = [("web", web)]
    for name, implicit in (("smtp", False), ("smtps", True)):
        handler = smtp_handler(store, context, implicit, arguments.login)
        servers.append((name, socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)))
    for name, server in servers:
        server.daemon_threads = True
        print(f"{name} {server.server_address[1]}", flush=True)
        threading.Thread(target=server.serve_forever).start()
    print("listening", flush=True)


if __name__ == "__main__":
    main()
