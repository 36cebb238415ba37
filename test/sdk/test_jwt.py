"""JWT authorizers of HTTP APIs: an issuer of our own, its keys, and tokens of every bad kind."""

import hashlib
import hmac
import json
import time
import uuid

import pytest

pytest.importorskip("cryptography", reason="pip's cryptography is not installed")

from gateway_kit import Api, Issuer, b64, echo_function


@pytest.fixture(scope="module")
def issuer():
    i = Issuer()
    yield i
    i.server.close()


@pytest.fixture(scope="module")
def guarded(daemon, issuer):
    a, f = Api(daemon), echo_function(daemon)
    i = a.integration(f)
    k = a.gw.create_authorizer(
        ApiId=a.id, Name="jwt", AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer.url, "Audience": ["me", "we"]})["AuthorizerId"]
    a.route("GET /x", i, AuthorizationType="JWT", AuthorizerId=k)
    a.route("GET /scoped", i, AuthorizationType="JWT", AuthorizerId=k,
            AuthorizationScopes=["read", "write"])
    yield a
    a.gw.delete_api(ApiId=a.id)
    f.delete()


def ask(a, token, path="/x", scheme="Bearer "):
    r, data = a.call(path, headers=[("Authorization", scheme + token)])
    return r.status, json.loads(data)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256"])
def test_algorithms(guarded, issuer, alg):
    status, event = ask(guarded, issuer.token(alg, jti=uuid.uuid4().hex, n=7))
    assert status == 200
    jwt = event["requestContext"]["authorizer"]["jwt"]
    assert jwt["claims"]["sub"] == "user" and jwt["claims"]["n"] == "7" and jwt["scopes"] is None


def test_forms(guarded, issuer):
    assert ask(guarded, issuer.token(), scheme="")[0] == 200
    assert ask(guarded, issuer.token(), scheme="bearer ")[0] == 200
    assert ask(guarded, issuer.token(aud=["other", "we"]))[0] == 200
    assert ask(guarded, issuer.token(aud=None, client_id="me"))[0] == 200
    assert guarded.call("/x")[0].status == 401


def test_scopes(guarded, issuer):
    token = issuer.token(scope="a read b")
    status, event = ask(guarded, token, "/scoped")
    assert status == 200
    assert event["requestContext"]["authorizer"]["jwt"]["scopes"] == ["a", "read", "b"]
    narrow = issuer.token(scope="reader")
    assert ask(guarded, narrow)[0] == 200
    assert ask(guarded, narrow, "/scoped")[0] == 403  # from the cache
    assert ask(guarded, issuer.token(jti="1"), "/scoped")[0] == 403


def test_keys_and_tokens_are_kept(guarded, issuer):
    ask(guarded, issuer.token(jti=uuid.uuid4().hex))
    before = issuer.fetches
    for _ in range(5):
        assert ask(guarded, issuer.token(jti=uuid.uuid4().hex))[0] == 200
    # Strangers' key ids do not make us ask again and again.
    for n in range(3):
        assert ask(guarded, issuer.token(head={"kid": "unknown%d" % n}))[0] == 401
    assert issuer.fetches == before


def hostile(issuer):
    from cryptography.hazmat.primitives import serialization
    now, good = int(time.time()), issuer.token()
    head, claims, signature = good.split(".")
    pem = issuer.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def by_hand(header, body, sign=lambda data: b""):
        signed = b64(header) + "." + b64(body)
        return signed + "." + b64(sign(signed.encode()))

    def hs256(data):
        return hmac.new(pem, data, hashlib.sha256).digest()

    yield "none", by_hand({"alg": "none"}, issuer.claims())
    yield "None", by_hand({"alg": "None", "kid": "r"}, issuer.claims(), lambda d: b"x")
    yield "none with a signature", b64({"alg": "none"}) + "." + claims + "." + signature
    yield "HS256 with the public key", by_hand({"alg": "HS256", "kid": "r"}, issuer.claims(), hs256)
    yield "RS256 with the EC key", issuer.token("RS256", head={"kid": "e"})
    yield "ES256 with the RSA key", issuer.token("ES256", head={"kid": "r"})
    yield "PS256 said to be RS256", by_hand({"alg": "RS256", "kid": "r"}, issuer.claims(),
                                            lambda d: issuer.sign("PS256", d))
    yield "all of r and s are zero", by_hand({"alg": "ES256", "kid": "e"}, issuer.claims(),
                                             lambda d: bytes(64))
    yield "a key of its own", issuer.token(head={"jwk": issuer.keys[0], "kid": "mine"})
    yield "critical extensions", issuer.token(head={"crit": ["exp"]})
    yield "expired", issuer.token(exp=now - 3600)
    yield "no end", issuer.token(exp=None)
    yield "an end that is no number", issuer.token(exp="tomorrow")
    yield "not yet", issuer.token(nbf=now + 3600)
    yield "issued later", issuer.token(iat=now + 3600)
    yield "another issuer", issuer.token(iss="http://127.0.0.1:1")
    yield "no issuer", issuer.token(iss=None)
    yield "another audience", issuer.token(aud="you")
    yield "no audience", issuer.token(aud=None)
    yield "an audience of objects", issuer.token(aud=[{"me": 1}])
    yield "changed claims", head + "." + b64(issuer.claims(sub="root")) + "." + signature
    yield "cut signature", good[:-10]
    yield "no signature", head + "." + claims + "."
    yield "two parts", head + "." + claims
    yield "five parts", good + ".x.y"
    yield "empty parts", ".."
    yield "not base64url", "a+/=." + claims + "." + signature
    yield "not JSON", b64(b"{") + "." + claims + "." + signature
    yield "a list", b64(b"[]") + "." + b64(b"[]") + "." + signature
    yield "deep", b64(b'{"a":' * 5000 + b"1" + b"}" * 5000) + "." + claims + "." + signature
    yield "a token in a token", b64({"alg": "RS256", "cty": "JWT", "kid": "r"}) + "." + \
        b64(good.encode()) + "." + signature
    yield "huge", issuer.token(pad="x" * 20000)


def test_hostile_tokens(guarded, issuer):
    for what, token in hostile(issuer):
        r, data = guarded.call("/x", headers=[("Authorization", "Bearer " + token)])
        assert r.status == 401, what
        assert json.loads(data) == {"message": "Unauthorized"}, what
    assert ask(guarded, issuer.token())[0] == 200  # and it still lives


def test_an_issuer_that_does_not_answer(daemon):
    i = Issuer()
    i.server.close()
    a = Api(daemon)
    k = a.gw.create_authorizer(
        ApiId=a.id, Name="jwt", AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": i.url, "Audience": ["me"]})["AuthorizerId"]
    a.gw.create_route(ApiId=a.id, RouteKey="GET /x", AuthorizationType="JWT", AuthorizerId=k)
    assert ask(a, i.token())[0] == 401
    a.gw.delete_api(ApiId=a.id)
