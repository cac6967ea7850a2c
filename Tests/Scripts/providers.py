#!/usr/bin/env python3
"""Providers of the catalogue under their own names, for tests of clients: what their pages document, and no more.

One server behind TLS answers for every host by `Host`. Signed statements are verified against FOLDER/NAME.pub (PEM), requests
of OAuth 1.0a by oauthlib. FOLDER/faults.json, when there, is {"HOST/PATH": {"status", "body", "count"}}. FOLDER/log.jsonl has a
line for each request: host, path, grant and status. FOLDER/tokens holds every secret that was given or taken, one a line.

Prints `listening` when it is.
"""
import argparse
import base64
import hashlib
import http.server
import json
import os
import re
import secrets
import socketserver
import ssl
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from oauthlib.oauth1 import (AccessTokenEndpoint, AuthorizationEndpoint, RequestTokenEndpoint, RequestValidator,
                             ResourceEndpoint)

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--cert", required=True, help="PEM with certificate and key")
parser.add_argument("--address", default="127.0.0.9")
arguments = parser.parse_args()
lock = threading.RLock()
living, refreshing, seen_statements = {}, {}, set()

TRELLO_KEY, TRELLO_SECRET = "0123456789abcdef0123456789abcdef", "5" * 64
SECRET = "provider-client-secret"


class Refusal(Exception):
    def __init__(self, status, body, **headers):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


def refuse(word, status=400, why=None):
    raise Refusal(status, {"error": word, "error_description": why or word})


def remember(*values):
    with open(os.path.join(arguments.folder, "tokens"), "a") as file:
        for value in values:
            file.write(value + "\n")


def give(host, refresh=False, prefix=""):
    access = prefix + secrets.token_urlsafe(24)
    living[access] = host
    remember(access)
    if not refresh:
        return access, None
    again = prefix + secrets.token_urlsafe(24)
    refreshing[again] = (host, access)
    remember(again)
    return access, again


def unpad(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def statement(token, name, audience, longest):
    """Verifies a statement as RFC 7523 §3 wants it."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(unpad(head)), json.loads(unpad(body))
        with open(os.path.join(arguments.folder, name + ".pub"), "rb") as file:
            key = serialization.load_pem_public_key(file.read())
        key.verify(unpad(signature), (head + "." + body).encode(), padding.PKCS1v15(), hashes.SHA256())
    except Exception:
        refuse("invalid_grant", why="Invalid JWT Signature.")
    now = time.time()
    if header.get("alg") != "RS256" or claims.get("aud") != audience:
        refuse("invalid_grant", why="Invalid algorithm or audience.")
    if not now - 60 <= claims["iat"] <= now + 5 or not now < claims["exp"] <= claims["iat"] + longest:
        refuse("invalid_grant", why="Token must be a short-lived token.")
    if claims["jti"] in seen_statements:
        refuse("invalid_grant", why="Token was used before.")
    seen_statements.add(claims["jti"])
    return header, claims


class Validator(RequestValidator):
    """Trello's side of OAuth 1.0a."""
    client_key_length, request_token_length, access_token_length = (32, 32), (16, 64), (16, 128)
    nonce_length, verifier_length = (20, 64), (16, 64)
    temporary, verified, tokens, nonces = {}, {}, {}, set()
    dummy_client = dummy_request_token = dummy_access_token = "dummy-dummy-dummy-dummy-dummy-dum"

    @property
    def safe_characters(self):
        return super().safe_characters | set("-_")

    def validate_client_key(self, key, request): return key == TRELLO_KEY
    def get_client_secret(self, key, request): return TRELLO_SECRET
    def get_realms(self, token, request): return []
    def get_default_realms(self, key, request): return []
    def validate_requested_realms(self, key, realms, request): return True
    def validate_realms(self, key, token, request, uri=None, realms=None): return True
    def verify_realms(self, token, realms, request): return True
    def validate_redirect_uri(self, key, uri, request): return uri.startswith("http")
    def validate_request_token(self, key, token, request): return token in self.temporary
    def get_request_token_secret(self, key, token, request): return self.temporary[token][0]
    def verify_request_token(self, token, request): return token in self.temporary
    def get_redirect_uri(self, token, request): return self.temporary[token][1]
    def validate_verifier(self, key, token, verifier, request): return self.verified.get(token) == verifier
    def validate_access_token(self, key, token, request): return token in self.tokens
    def get_access_token_secret(self, key, token, request): return self.tokens.get(token, "none")

    def validate_timestamp_and_nonce(self, key, timestamp, nonce, request, request_token=None, access_token=None):
        fresh = abs(time.time() - int(timestamp)) < 60 and (timestamp, nonce) not in self.nonces
        self.nonces.add((timestamp, nonce))
        return fresh

    def save_request_token(self, token, request):
        self.temporary[token["oauth_token"]] = (token["oauth_token_secret"], request.redirect_uri)
        remember(token["oauth_token"], token["oauth_token_secret"])

    def save_verifier(self, token, verifier, request):
        self.verified[token] = verifier["oauth_verifier"]
        remember(verifier["oauth_verifier"])

    def save_access_token(self, token, request):
        self.tokens[token["oauth_token"]] = token["oauth_token_secret"]
        remember(token["oauth_token"], token["oauth_token_secret"])

    def invalidate_request_token(self, key, token, request):
        self.temporary.pop(token, None)
        self.verified.pop(token, None)


validator = Validator()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def answer(self):
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.host = self.headers["Host"].split(":")[0]
        address = urllib.parse.urlsplit(self.path)
        self.route, self.query = address.path, dict(urllib.parse.parse_qsl(address.query))
        kind = self.headers.get("Content-Type", "")
        try:
            self.form = json.loads(self.content or "{}") if "json" in kind else dict(urllib.parse.parse_qsl(self.content))
            with lock:
                self.fault()
                status, body, headers = self.play()
        except Refusal as refusal:
            status, body, headers = refusal.status, refusal.body, refusal.headers
        except Exception as error:
            status, body, headers = 500, {"error": "server_error", "why": repr(error)}, {}
        with lock, open(os.path.join(arguments.folder, "log.jsonl"), "a") as file:
            grant = self.form.get("grant_type", "") if isinstance(self.form, dict) else ""
            path = re.sub(r"/tokens/.*", "/tokens/TOKEN", self.route)
            file.write(json.dumps({"host": self.host, "path": path, "grant": grant, "status": status,
                                   "method": self.command}) + "\n")
        raw = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = answer

    def fault(self):
        path = os.path.join(arguments.folder, "faults.json")
        if not os.path.exists(path):
            return
        with open(path) as file:
            faults = json.load(file)
        fault = faults.get(self.host + self.route)
        if not fault or fault.get("count", 1) < 1:
            return
        fault["count"] = fault.get("count", 1) - 1
        with open(path + ".new", "w") as file:
            json.dump(faults, file)
        os.rename(path + ".new", path)
        raise Refusal(fault.get("status", 200), fault["body"])

    def bearer(self):
        word, _, token = self.headers.get("Authorization", "").partition(" ")
        if word != "Bearer" or living.get(token) != self.host_of_tokens():
            raise Refusal(401, self.no_token())
        return token

    def host_of_tokens(self):
        for part in ("googleapis", "salesforce", "microsoft", "atlassian", "xero", "slack", "dropbox", "github"):
            if part in self.host:
                return part
        return self.host

    def no_token(self):
        if "slack" in self.host:
            raise Refusal(200, {"ok": False, "error": "token_revoked"})
        if "google" in self.host:
            return {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}
        return {"message": "Bad credentials"}

    def basic(self):
        word, _, text = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(text).decode() if word == "Basic" else ""

    def client(self):
        proven = self.basic() == "client:" + SECRET or self.form.get("client_secret") == SECRET
        if not proven:
            refuse("invalid_client", 401)

    def play(self):
        for suffix, play in (("googleapis.com", self.google), ("salesforce.com", self.salesforce),
                             ("microsoftonline.com", self.microsoft), ("azure.com", self.azure),
                             ("trello.com", self.trello), ("atlassian.com", self.atlassian), ("xero.com", self.xero),
                             ("slack.com", self.slack), ("dropboxapi.com", self.dropbox), ("github.com", self.github)):
            if self.host == suffix or self.host.endswith("." + suffix):
                return play()
        raise Refusal(404, {})

    def google(self):
        if self.route == "/token":
            if self.form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" or "client_id" in self.form:
                refuse("unsupported_grant_type")
            header, claims = statement(self.form["assertion"], "google", "https://oauth2.googleapis.com/token", 3600)
            if claims["iss"] != "svc@p.iam.gserviceaccount.com" or header.get("kid") != "k-1":
                refuse("invalid_grant", why="Invalid grant: account not found")
            if claims.get("sub") not in (None, "benali@votreentreprise.dz"):
                refuse("unauthorized_client", 401)
            if not claims.get("scope"):
                refuse("invalid_scope", why="Invalid OAuth scope or ID token audience provided.")
            return 200, {"access_token": give("googleapis")[0], "expires_in": 3599, "token_type": "Bearer"}, {}
        if self.route == "/revoke":
            token = self.form.get("token")
            # Tokens of accounts of services are not revocable.
            refuse("invalid_token", why="Token is not revocable." if token in living else "Token expired or revoked")
        self.bearer()
        return 200, {"user": {"emailAddress": "svc@p.iam.gserviceaccount.com"}}, {}

    def salesforce(self):
        if self.route == "/services/oauth2/token":
            _, claims = statement(self.form["assertion"], "salesforce", "https://login.salesforce.com", 180)
            if claims["iss"] != "3MVG9dAEux2v1sLsg0e52" or claims["sub"] != "integration@acme.com" or "scope" in claims:
                refuse("invalid_grant", why="user hasn't approved this consumer")
            return 200, {"access_token": give("salesforce")[0], "scope": "api", "token_type": "Bearer",
                         "instance_url": "https://acme.my.salesforce.com", "id": "https://login.salesforce.com/id/1/2"}, {}
        if self.route == "/services/oauth2/revoke":
            if living.pop(self.form.get("token"), None) is None:
                refuse("invalid_token")
            return 200, None, {}
        try:
            self.bearer()
        except Refusal:
            raise Refusal(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
        return 200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14998}}, {}

    def microsoft(self):
        audience = "https://login.microsoftonline.com" + self.route
        if self.form.get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
            refuse("invalid_client", 401)
        header, claims = statement(self.form["client_assertion"], "microsoft", audience, 600)
        with open(os.path.join(arguments.folder, "microsoft.der"), "rb") as file:
            digest = hashlib.sha256(file.read()).digest()
        if unpad(header["x5t#S256"]) != digest or claims["iss"] != claims["sub"] or claims["nbf"] != claims["iat"]:
            refuse("invalid_client", 401)
        if claims["iss"] != self.form["client_id"] or "client_secret" in self.form:
            refuse("invalid_client", 401)
        return 200, {"access_token": give("microsoft")[0], "expires_in": 3599, "ext_expires_in": 3599,
                     "token_type": "Bearer"}, {}

    def azure(self):
        self.host = "login.microsoftonline.com"
        self.bearer()
        return 200, {"value": []}, {}

    def trello(self):
        address = "https://" + self.host + self.path
        headers = {"Authorization": self.headers.get("Authorization", ""),
                   "Content-Type": self.headers.get("Content-Type", "")}
        if self.route == "/1/OAuthGetRequestToken":
            headers, body, status = RequestTokenEndpoint(validator).create_request_token_response(
                address, self.command, self.content, headers)
            return status, body, {}
        if self.route == "/1/OAuthAuthorizeToken":
            if self.query.get("expiration") != "30days" or self.query.get("scope") != "read":
                refuse("invalid_request")
            headers, _, status = AuthorizationEndpoint(validator).create_authorization_response(address, self.command)
            return status, None, {"Location": headers["Location"]}
        if self.route == "/1/OAuthGetAccessToken":
            headers, body, status = AccessTokenEndpoint(validator).create_access_token_response(
                address, self.command, self.content, headers)
            return status, body, {}
        if self.route.startswith("/1/tokens/") and self.command == "DELETE" or self.route == "/1/members/me":
            # The plain way of the documentation, which is what services use, or a signature.
            plain = re.fullmatch(r'OAuth oauth_consumer_key="(\w+)", oauth_token="([\w-]+)"', headers["Authorization"])
            if plain:
                valid = plain[1] == TRELLO_KEY and plain[2] in validator.tokens
            else:
                valid, _ = ResourceEndpoint(validator).validate_protected_resource_request(
                    address, self.command, self.content, headers, [])
            if not valid:
                raise Refusal(401, "invalid token")
            if self.command == "DELETE":
                del validator.tokens[urllib.parse.unquote(self.route.rsplit("/", 1)[1])]
            return 200, {"_value": None} if self.command == "DELETE" else {"id": "5", "username": "amine"}, {}
        raise Refusal(404, "Cannot GET")

    def exchange(self, name, prefix="", rotates=True, **more):
        """The token address of a provider that follows RFC 6749."""
        self.client()
        kind = self.form.get("grant_type", "authorization_code")
        if kind == "authorization_code":
            if self.form.get("code") != "code-" + name:
                refuse("invalid_grant")
        elif self.form.get("refresh_token") not in refreshing:
            refuse("invalid_grant")
        elif rotates:
            refreshing.pop(self.form["refresh_token"])
        access, again = give(name, True, prefix)
        return 200, {"access_token": access, "refresh_token": again, "token_type": "Bearer", "expires_in": 3600, **more}, {}

    def atlassian(self):
        if self.route == "/oauth/token":
            if "json" not in self.headers.get("Content-Type", ""):
                refuse("invalid_request")
            return self.exchange("atlassian", scope="read:jira-work read:jira-user offline_access")
        self.bearer()
        if self.route == "/oauth/token/accessible-resources":
            return 200, [{"id": "c-1", "url": "https://un.atlassian.net", "name": "un", "scopes": ["read:jira-work"]},
                         {"id": "c-2", "url": "https://deux.atlassian.net", "name": "deux", "scopes": []}], {}
        if self.route == "/ex/jira/c-2/rest/api/3/myself":
            return 200, {"accountId": "5"}, {}
        raise Refusal(404, {})

    def xero(self):
        if self.route == "/connect/token":
            return self.exchange("xero")
        self.bearer()
        return 200, [{"id": "1", "tenantId": "70784a63-d24b-46a9-a4db-0e70a274b056", "tenantType": "ORGANISATION",
                      "tenantName": "Maple Florists Ltd", "createdDateUtc": "2026-07-09T23:40:30.1833130"}], {}

    def slack(self):
        if self.route == "/api/oauth.v2.access":
            status, body, headers = self.exchange("slack", "xoxe.")
            return status, {"ok": True, "team": {"id": "T1"}, **body}, headers
        token = self.bearer()
        if self.route == "/api/auth.revoke":
            living.pop(token)
            return 200, {"ok": True, "revoked": True}, {}
        return 200, {"ok": True, "team": "Acme", "user": "bot"}, {}

    def dropbox(self):
        if self.route == "/oauth2/token":
            return self.exchange("dropbox", rotates=False, account_id="dbid:1", uid="1")
        token = self.bearer()
        if self.route == "/2/auth/token/revoke":
            if self.content or "Content-Type" in self.headers:
                raise Refusal(400, "Error in call to API function")
            living.pop(token)
            return 200, None, {}
        if self.form.get("query") != "ping":
            raise Refusal(400, 'Error in call to API function "check/user"')
        return 200, {"result": "ping"}, {}

    def github(self):
        if self.route == "/login/oauth/access_token":
            try:
                return self.exchange("github", "ghu_", refresh_token_expires_in=15811200, scope="")
            except Refusal as refusal:
                raise Refusal(200, {"error": "bad_verification_code", **refusal.body})
        if self.route == "/applications/client/grant" and self.command == "DELETE":
            if self.basic() != "client:" + SECRET:
                raise Refusal(401, {"message": "Bad credentials"})
            if living.pop(json.loads(self.content).get("access_token"), None) is None:
                raise Refusal(404, {"message": "Not Found"})
            return 204, None, {}
        self.bearer()
        return 200, {"login": "octocat"}, {}

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert)
    server = Server((arguments.address, 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
