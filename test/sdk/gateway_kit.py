"""What the tests of API Gateway share: APIs made through boto3, requests as a browser sends them."""

import base64
import http.client
import http.server
import json
import threading
import time
import uuid

from harness import make_function

ECHO = """
def handler(event, context):
    return event
"""


def request(daemon, host, method="GET", path="/", body=None, headers=()):
    """(response, body) of one plain HTTP request with that Host."""
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    try:
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        c.putheader("Host", "%s:%d" % (host, daemon.port))
        for k, v in headers:
            c.putheader(k, v)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        r = c.getresponse()
        return r, r.read()
    finally:
        c.close()


class Api:
    """An HTTP API; `call` sends a request to it."""

    def __init__(self, daemon, stage="$default", auto=True, **options):
        self.daemon, self.gw = daemon, daemon.client("apigatewayv2")
        options.setdefault("Name", "api-" + uuid.uuid4().hex[:8])
        options.setdefault("ProtocolType", "HTTP")
        made = self.gw.create_api(**options)
        self.id, self.endpoint = made["ApiId"], made["ApiEndpoint"]
        self.host = self.endpoint.split("//", 1)[1].split(":")[0].split("/")[0]
        if stage and "Target" not in options:
            self.gw.create_stage(ApiId=self.id, StageName=stage, AutoDeploy=auto)

    def integration(self, function, version="2.0", **more):
        return self.gw.create_integration(
            ApiId=self.id, IntegrationType="AWS_PROXY", IntegrationUri=function.arn,
            PayloadFormatVersion=version, **more)["IntegrationId"]

    def proxy(self, url, method="ANY", **more):
        return self.gw.create_integration(
            ApiId=self.id, IntegrationType="HTTP_PROXY", IntegrationUri=url,
            IntegrationMethod=method, PayloadFormatVersion="1.0", **more)["IntegrationId"]

    def route(self, key, integration, **more):
        return self.gw.create_route(ApiId=self.id, RouteKey=key,
                                    Target="integrations/" + integration, **more)["RouteId"]

    def call(self, path="/", method="GET", body=None, headers=(), host=None):
        return request(self.daemon, host or self.host, method, path, body, headers)

    def json(self, *args, **more):
        r, data = self.call(*args, **more)
        assert r.status == 200, (r.status, data)
        return json.loads(data)


# ---- a server behind HTTP_PROXY, and an issuer of tokens -----------------------------------------

class Server:
    """A local HTTP server: answer(handler) is called for each request."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                n = int(self.headers.get("content-length") or 0)
                self.body = self.rfile.read(n)
                answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = handle_one

            def reply(self, status, body, headers=()):
                self.send_response(status)
                for k, v in headers:
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, size):
    return b64(n.to_bytes(size, "big"))


class Issuer:
    """An OpenID Connect issuer with keys of its own, and tokens signed with them."""

    def __init__(self):
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.fetches = 0
        r, e = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        self.keys = [{"kid": "r", "kty": "RSA", "use": "sig", "n": number(r.n, 256), "e": "AQAB"},
                     {"kid": "e", "kty": "EC", "crv": "P-256", "x": number(e.x, 32),
                      "y": number(e.y, 32)}]
        self.server = Server(self.answer)
        self.url = self.server.url

    def answer(self, h):
        self.fetches += 1
        if h.path == "/.well-known/openid-configuration":
            body = {"issuer": self.url, "jwks_uri": self.url + "/keys"}
        else:
            body = {"keys": self.keys}
        h.reply(200, json.dumps(body).encode(), [("Content-Type", "application/json")])

    def sign(self, alg, data):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
        hash_of = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[alg[2:]]()
        if alg.startswith("RS"):
            return self.rsa.sign(data, padding.PKCS1v15(), hash_of)
        if alg.startswith("PS"):
            return self.rsa.sign(data, padding.PSS(padding.MGF1(hash_of), hash_of.digest_size),
                                 hash_of)
        r, s = utils.decode_dss_signature(self.ec.sign(data, ec.ECDSA(hash_of)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def claims(self, **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "me", "sub": "user", "iat": now, "nbf": now,
                  "exp": now + 600}
        claims.update(more)
        return {k: v for k, v in claims.items() if v is not None}

    def token(self, alg="RS256", head=None, **claims):
        header = {"alg": alg, "typ": "JWT", "kid": "e" if alg.startswith("ES") else "r"}
        header.update(head or {})
        signed = b64(header) + "." + b64(self.claims(**claims))
        return signed + "." + b64(self.sign(alg, signed.encode()))


def echo_function(daemon, source=ECHO, **more):
    return make_function(daemon, "python", source=source, **more)
