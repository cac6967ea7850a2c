#!/usr/bin/env python3
"""A web server behind TLS that answers what a test has written, for tests of clients.

A request for /NAME?… is answered by FOLDER/NAME.json: {"status": 200, "headers": {}, "body": text, "bytes": length of a
body of spaces, "chunked": true, "delay": seconds, "cut": bytes of the body after which the connection ends, "silent": true};
"then": the answer from the second time on. A name without a file is a 404. What came lies in FOLDER/NAME.request: JSON with
method, path, headers, body, tls and the name of the client's certificate.

Prints `listening PORT`.
"""
import argparse
import http.server
import json
import os
import socketserver
import ssl
import threading
import time
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--cert", required=True, help="PEM with certificate and key")
parser.add_argument("--client-ca", help="PEM of who signs the certificates that clients must show")
parser.add_argument("--tls12", action="store_true", help="speak TLS 1.2 and nothing newer")
arguments = parser.parse_args()
seen, lock = {}, threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def answer(self):
        name = urllib.parse.urlsplit(self.path).path.strip("/").replace("/", "_")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with lock:
            seen[name] = seen.get(name, 0) + 1
            count = seen[name]
        subject = dict(pair[0] for pair in (self.connection.getpeercert() or {}).get("subject", ()))
        heard = {"method": self.command, "path": self.path, "body": body.decode(), "tls": self.connection.version(),
                 "headers": {key.lower(): value for key, value in self.headers.items()}, "count": count,
                 "client": subject.get("commonName")}
        path = os.path.join(arguments.folder, name)
        with open(path + ".new", "w") as file:
            json.dump(heard, file)
        os.rename(path + ".new", path + ".request")
        try:
            with open(path + ".json") as file:
                script = json.load(file)
        except FileNotFoundError:
            script = {"status": 404}
        if count > 1 and "then" in script:
            script = script["then"]
        self.play(script)

    def play(self, script):
        time.sleep(script.get("delay", 0))
        self.close_connection = True
        if script.get("silent"):
            return
        content = script.get("body", "").encode() or b" " * script.get("bytes", 0)
        self.send_response(script.get("status", 200))
        for key, value in script.get("headers", {}).items():
            self.send_header(key, value)
        chunked = script.get("chunked", False)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(content)))))
        self.end_headers()
        content = content[:script.get("cut", len(content))]
        for start in range(0, len(content), 65536):
            part = content[start:start + 65536]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if chunked and "cut" not in script:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_DELETE = answer

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert)
    if arguments.tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if arguments.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(arguments.client_ca)
    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"listening {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
