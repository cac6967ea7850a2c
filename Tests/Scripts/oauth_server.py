#!/usr/bin/env python3
"""A real OAuth 2 and OpenID Connect authorization server for tests: django-oauth-toolkit with SQLite in a folder, behind
TLS 1.3. Killed and started again on the same folder and port it goes on where it was.

Refresh tokens rotate; presenting a used one after the grace period revokes its family. PKCE with S256 is required.

People (password "password"): alice (groups officers, staff; alice@example.org), bob (staff).
Clients (secret "client-secret" where they have one):
  coffre          code, confidential             coffre-public   code, public
  coffre-machine  client credentials             coffre-device   device code, public
  chatbot         code, confidential: a service that signs people in
Redirects: http://127.0.0.1 (any port) and http://localhost/callback, https://app.example.org/callback.
Scopes: openid, profile, read, write, contacts.

  GET  /authorize/?…            as the RFC says; the person is HTTP Basic. Consents at once: 302 with code, state and iss.
                                X-Consent: deny refuses; X-Consent-Scope: "read" grants less than was asked.
  POST /token/  /revoke_token/  /introspect/  /device-authorization/
  GET  /userinfo/  /.well-known/openid-configuration  /.well-known/jwks.json
                                GitLab's, Salesforce's and Workday's paths lead to the same addresses.
  GET  /api/me                  a resource: {"user", "scope", "organisations"}; 401 without a living token

For tests alone, without credentials:
  POST /test/device             user_code, user, answer=approve|deny: what a person does on the verification page
  POST /test/fault              JSON, replaces what was there: {"before": seconds, "after": seconds: waits of the token
                                address before and after its work; "drop": number of answers to throw away after the work;
                                "status": answer of every address, with "body" and "type"; "count": only so often}
  POST /test/expire             ends every access token now
  POST /test/revoke             user: ends every grant of this person, as the provider's own page does
  POST /test/rotate-key         a new signing key; the old one stays published.  POST /test/forget-keys: only the new one
  GET  /test/log                what came, in order: [{"path", "grant_type", "client", "status", "error", "tls"}]
  GET  /test/refresh-tokens     every refresh token that was ever given
  GET  /test/tokens             {"access": living, "refresh": living, "families": revoked}

Prints `port N` and `listening`.
"""
import argparse
import base64
import datetime
import json
import os
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse
import wsgiref.simple_server

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--cert", required=True, help="PEM with certificate and key")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--grace", type=int, default=0, help="seconds for which a used refresh token still works")
parser.add_argument("--access-seconds", type=int, default=3600)
parser.add_argument("--refresh-seconds", type=int, default=0, help="life of an unused refresh token; 0: no end")
parser.add_argument("--interval", type=int, default=1, help="seconds between two polls of a device")
parser.add_argument("--no-pkce", action="store_true", help="take codes without a proof key, as older providers do")
parser.add_argument("--no-rotation", action="store_true")
parser.add_argument("--no-reuse-protection", action="store_true")
arguments = parser.parse_args()
FOLDER = os.path.abspath(arguments.folder)


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = 30

    def get_environ(self):
        environ = super().get_environ()
        environ["HTTPS"] = "on"
        environ["coffre.tls"] = self.connection.version() or ""
        environ["coffre.connection"] = self.connection
        return environ

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def log_message(self, *_):
        pass


http = Server(("127.0.0.1", arguments.port), Handler)
PORT = http.server_address[1]
ORIGIN = f"https://127.0.0.1:{PORT}"


def new_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def save(name, text):
    path = os.path.join(FOLDER, name)
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def load_keys():
    try:
        with open(os.path.join(FOLDER, "keys.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        keys = [new_key()]
        save("keys.json", json.dumps(keys))
        return keys


KEYS = load_keys()

import django  # noqa: E402
from django.conf import settings  # noqa: E402

settings.configure(
    SECRET_KEY="tests alone",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="oauth_urls",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(FOLDER, "oauth.sqlite"),
                           "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE",
                                       "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"],
    MIDDLEWARE=["oauth_urls.Middle"],
    # Passwords of tests need no slow hash.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={
        "SCOPES": {"openid": "who you are", "profile": "your name", "read": "read", "write": "write",
                   "contacts": "your contacts"},
        "ACCESS_TOKEN_EXPIRE_SECONDS": arguments.access_seconds,
        "REFRESH_TOKEN_EXPIRE_SECONDS": arguments.refresh_seconds or None,
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": arguments.grace,
        "REFRESH_TOKEN_REUSE_PROTECTION": not arguments.no_reuse_protection,
        "ROTATE_REFRESH_TOKEN": not arguments.no_rotation,
        "PKCE_REQUIRED": not arguments.no_pkce,
        "DEVICE_FLOW_INTERVAL": arguments.interval,
        "OAUTH_DEVICE_VERIFICATION_URI": ORIGIN + "/device/",
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": ORIGIN,
        "OIDC_RSA_PRIVATE_KEY": KEYS[0],
        "OIDC_RSA_PRIVATE_KEYS_INACTIVE": KEYS[1:],
        "OAUTH2_VALIDATOR_CLASS": "oauth_urls.Validator",
        "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    },
)
django.setup()

from django.contrib.auth import authenticate, get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider.models import (  # noqa: E402
    get_access_token_model,
    get_application_model,
    get_device_grant_model,
    get_grant_model,
    get_refresh_token_model,
)
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402
from oauth2_provider.settings import oauth2_settings  # noqa: E402


class State:
    def __init__(self):
        self.lock, self.log, self.fault = threading.Lock(), [], {}

    def take_fault(self):
        """The fault for one request, counted."""
        with self.lock:
            fault = dict(self.fault)
            if "count" in fault:
                self.fault["count"] -= 1
                if self.fault["count"] <= 0:
                    self.fault = {}
            return fault

    def takes_drop(self):
        with self.lock:
            if self.fault.get("drop", 0) <= 0:
                return False
            self.fault["drop"] -= 1
            return True

    def note(self, request, response):
        error = None
        if response["Content-Type"].startswith("application/json") and response.status_code >= 400:
            error = json.loads(response.content).get("error")
        client = request.POST.get("client_id") or request.GET.get("client_id")
        if not client and request.META.get("HTTP_AUTHORIZATION", "").startswith("Basic "):
            pair = base64.b64decode(request.META["HTTP_AUTHORIZATION"][6:] + "==").decode(errors="replace")
            client = urllib.parse.unquote(pair.split(":")[0])
        entry = {"path": request.path, "grant_type": request.POST.get("grant_type"), "client": client,
                 "status": response.status_code, "error": error, "tls": request.META.get("coffre.tls")}
        with self.lock:
            self.log.append(entry)


STATE = State()
GROUPS = {"alice": ["officers", "staff"], "bob": ["staff"]}


class Validator(OAuth2Validator):
    # Which scope a claim needs: none, so that tests see all of them.
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        name = request.user.username
        return {"preferred_username": name, "email": f"{name}@example.org", "email_verified": True,
                "groups": GROUPS.get(name, [])}


class Middle:
    """The person who consents, faults, and the log."""

    def __init__(self, following):
        self.following = following

    def __call__(self, request):
        response = self.following(request) if request.path.startswith("/test/") else self.answer(request)
        # Clients that know of truncation do not believe an answer that ends where the connection does.
        response["Content-Length"] = len(response.content)
        return response

    def answer(self, request):
        fault = STATE.take_fault()
        if "status" in fault:
            response = HttpResponse(fault.get("body", ""), status=fault["status"],
                                    content_type=fault.get("type", "text/html"))
        else:
            is_token = request.path == "/token/"
            if is_token:
                time.sleep(fault.get("before", 0))
            response = self.consented(request) if request.path == "/authorize/" else self.following(request)
            if is_token:
                time.sleep(fault.get("after", 0))
        STATE.note(request, response)
        if request.path == "/token/" and STATE.takes_drop():
            request.environ["coffre.dropped"] = True
        return response

    def consented(self, request):
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header.startswith("Basic "):
            return HttpResponse("who are you?", status=401, headers={"WWW-Authenticate": "Basic"})
        name, _, password = base64.b64decode(header[6:]).decode().partition(":")
        user = authenticate(username=name, password=password)
        if user is None:
            return HttpResponse("not you", status=401, headers={"WWW-Authenticate": "Basic"})
        request.user = user
        query = request.GET.copy()
        if request.META.get("HTTP_X_CONSENT") == "deny":
            answer = {"error": "access_denied", "state": query.get("state", ""), "iss": ORIGIN}
            target = query.get("redirect_uri", "")
            return HttpResponse(status=302, headers={
                "Location": target + ("&" if "?" in target else "?") + urllib.parse.urlencode(answer)})
        if scope := request.META.get("HTTP_X_CONSENT_SCOPE"):
            query["scope"] = scope
            request.GET = query
            request.META["QUERY_STRING"] = query.urlencode()
        return self.following(request)


def living_token(request):
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header.startswith("Bearer "):
        return None
    token = get_access_token_model().objects.filter(token=header[7:]).select_related("user").first()
    return token if token and not token.is_expired() else None


def me(request):
    token = living_token(request)
    if token is None:
        return JsonResponse({"error": "invalid_token"}, status=401,
                            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    organisations = [{"id": "org-1", "name": "Première"}, {"id": "org-2", "name": "Second"}]
    return JsonResponse({"user": token.user.username if token.user else None, "scope": token.scope,
                         "organisations": organisations})


def tests_only(view):
    def run(request):
        answer = view(request)
        return JsonResponse({"ok": True} if answer is None else answer, safe=False)

    return csrf_exempt(run)


@tests_only
def device(request):
    Device = get_device_grant_model()
    grant = Device.objects.get(user_code=request.POST["user_code"])
    grant.user = get_user_model().objects.get(username=request.POST.get("user", "alice"))
    grant.status = Device.AUTHORIZED if request.POST.get("answer", "approve") == "approve" else Device.DENIED
    grant.save()


@tests_only
def fault(request):
    with STATE.lock:
        STATE.fault = json.loads(request.body or "{}")


@tests_only
def expire(request):
    get_access_token_model().objects.update(expires=timezone.now() - datetime.timedelta(seconds=1))


@tests_only
def revoke(request):
    owner = {"user__username": request.POST["user"]}
    get_grant_model().objects.filter(**owner).delete()
    get_refresh_token_model().objects.filter(revoked=None, **owner).update(revoked=timezone.now())
    get_access_token_model().objects.filter(**owner).delete()


@tests_only
def rotate_key(request):
    oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE = [oauth2_settings.OIDC_RSA_PRIVATE_KEY] + list(
        oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE)
    oauth2_settings.OIDC_RSA_PRIVATE_KEY = new_key()
    save_keys()


@tests_only
def forget_keys(request):
    oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE = []
    save_keys()


def save_keys():
    keys = [oauth2_settings.OIDC_RSA_PRIVATE_KEY] + list(oauth2_settings.OIDC_RSA_PRIVATE_KEYS_INACTIVE)
    save("keys.json", json.dumps(keys))


@tests_only
def log(request):
    with STATE.lock:
        return list(STATE.log)


@tests_only
def tokens(request):
    refresh = get_refresh_token_model().objects
    living = set(refresh.filter(revoked=None).values_list("token_family", flat=True))
    families = set(refresh.values_list("token_family", flat=True))
    return {"access": get_access_token_model().objects.filter(expires__gt=timezone.now()).count(),
            "refresh": refresh.filter(revoked=None).count(), "families": len(families - living)}


@tests_only
def refresh_tokens(request):
    return list(get_refresh_token_model().objects.values_list("token", flat=True))


urlpatterns = [
    path("api/me", me),
    path("test/device", device),
    path("test/fault", fault),
    path("test/expire", expire),
    path("test/revoke", revoke),
    path("test/rotate-key", rotate_key),
    path("test/forget-keys", forget_keys),
    path("test/log", log),
    path("test/tokens", tokens),
    path("test/refresh-tokens", refresh_tokens),
    path("", include("oauth2_provider.urls", namespace="oauth2_provider")),
]
sys.modules["oauth_urls"] = sys.modules[__name__]


def register():
    call_command("migrate", verbosity=0, interactive=False)
    people, Application = get_user_model().objects, get_application_model()
    for name in GROUPS:
        if not people.filter(username=name).exists():
            people.create_user(name, f"{name}@example.org", "password")
    redirects = "http://127.0.0.1/callback http://localhost/callback https://app.example.org/callback"
    code, device_code = Application.GRANT_AUTHORIZATION_CODE, Application.GRANT_DEVICE_CODE
    for client, is_public, grant in (("coffre", False, code), ("coffre-public", True, code), ("chatbot", False, code),
                                     ("coffre-machine", False, Application.GRANT_CLIENT_CREDENTIALS),
                                     ("coffre-device", True, device_code)):
        if Application.objects.filter(client_id=client).exists():
            continue
        Application.objects.create(
            client_id=client, name=client, client_secret="client-secret", redirect_uris=redirects,
            client_type=Application.CLIENT_PUBLIC if is_public else Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grant, algorithm=Application.RS256_ALGORITHM if grant == code else "",
            skip_authorization=True)


# Where other providers have the same addresses: GitLab, Salesforce, Workday.
ALIASES = {
    "/oauth/authorize": "/authorize/", "/oauth/token": "/token/", "/oauth/revoke": "/revoke_token/",
    "/oauth/authorize_device": "/device-authorization/", "/api/v4/user": "/api/me",
    "/services/oauth2/authorize": "/authorize/", "/services/oauth2/token": "/token/",
    "/services/oauth2/revoke": "/revoke_token/", "/acme/authorize": "/authorize/", "/ccx/oauth2/acme/token": "/token/",
}


class Cutting:
    """Cuts the connection when an answer is to be thrown away."""

    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        environ["PATH_INFO"] = ALIASES.get(path, path)
        answer = self.application(environ, start_response)
        if environ.get("coffre.dropped"):
            environ["coffre.connection"].shutdown(socket.SHUT_RDWR)
            return []
        return answer


def main():
    register()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(arguments.cert)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    http.set_app(Cutting(get_wsgi_application()))
    print(f"port {PORT}", flush=True)
    print("listening", flush=True)
    http.serve_forever()


if __name__ == "__main__":
    main()
