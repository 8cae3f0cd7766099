"""Tokens that an issuer signed: what lets in, and the many that must not."""

import base64
import hmac
import json
import time
from collections.abc import Generator
from typing import Any

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.http import oauth
from server.http.oauth import Issuer
from store.errors import ProviderOutputError, ProviderUnavailableError
from tests.issuer import LocalIssuer, issuing

HERE = "https://memory.example.com/mcp"


@pytest.fixture(params=["", "/tenant"])
def local(request: pytest.FixtureRequest) -> Generator[LocalIssuer]:
    with issuing(request.param) as issuer:
        yield issuer


async def test_a_signed_token_names_the_user_and_what_it_may(local: LocalIssuer) -> None:
    issuer = Issuer(local.address, [HERE])
    found = await issuer.verify(local.token(aud=[HERE, "another"], scope="memory:read memory:write", azp="an app"))
    assert found is not None
    assert (found.subject, found.client_id, found.scopes) == ("alice", "an app", ["memory:read", "memory:write"])
    assert found.token == ""  # nothing passes it on
    await issuer.verify(local.token(aud=HERE))
    assert local.asked.count("/keys") == 1
    other = await issuer.verify(local.token(aud=HERE, scope=None, scp=["memory:read"]))
    assert other is not None
    assert other.scopes == ["memory:read"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com/mcp"},
        {"aud": None},
        {"iss": "https://issuer.example.com"},
        {"iss": None},
        {"exp": int(time.time()) - 3_600},
        {"exp": None},
        {"nbf": int(time.time()) + 3_600},
        {"sub": None},
        {"sub": ""},
        {"sub": " alice"},
        {"sub": "alice\n"},
        {"sub": "x" * 300},
        {"kid": "second"},
    ],
)
async def test_what_is_not_the_issuers_or_not_for_us_or_not_now_is_refused(claims: dict[str, Any]) -> None:
    with issuing() as local:
        local.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        token = local.token(**{"aud": HERE, **claims})
        del local.keys["second"]
        forged = local.token(aud=HERE, key=ec.generate_private_key(ec.SECP256R1()))
        assert await Issuer(local.address, [HERE]).verify(forged) is None
        assert await Issuer(local.address, [HERE]).verify(token) is None
        assert await Issuer(local.address, [HERE]).verify(local.token(aud=HERE))


def _unsigned(claims: dict[str, Any], algorithm: str, secret: bytes) -> str:
    """Return a token that the library itself refuses to make."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    head = part(json.dumps({"alg": algorithm, "kid": "first"}).encode()) + "." + part(json.dumps(claims).encode())
    return f"{head}.{part(hmac.digest(secret, head.encode(), 'sha256') if secret else b'')}"


async def test_our_own_public_keys_are_no_secrets_to_sign_with() -> None:
    with issuing() as local:
        public = local.keys["first"].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        claims = {"iss": local.address, "sub": "alice", "aud": HERE, "exp": int(time.time()) + 300}
        forged = [
            _unsigned(claims, "HS256", public),
            _unsigned(claims, "none", b""),
            jwt.encode(claims, rsa.generate_private_key(65_537, 2_048), algorithm="RS256", headers={"kid": "first"}),
        ]
        issuer = Issuer(local.address, [HERE])
        for token in [*forged, "", "a.b.c", "x" * 10_000, "\ud800", local.token(aud=HERE)[:-2]]:
            assert await issuer.verify(token) is None


async def test_new_keys_are_found_and_unknown_ones_do_not_make_us_ask_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with issuing() as local:
        issuer = Issuer(local.address, [HERE])
        assert await issuer.verify(local.token(aud=HERE))
        local.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        for _ in range(20):
            assert await issuer.verify(local.token(aud=HERE, kid="second")) is None
        assert local.asked.count("/keys") == 1
        monkeypatch.setattr(oauth, "KEYS_REST", 0.0)
        assert await issuer.verify(local.token(aud=HERE, kid="second"))
        assert local.asked.count("/keys") == 2


async def test_an_issuer_that_does_not_answer_is_told_and_not_asked_again_at_once() -> None:
    with issuing() as local:
        local.answers = False
        issuer = Issuer(local.address, [HERE])
        for _ in range(10):
            with pytest.raises(ProviderUnavailableError):
                await issuer.verify(local.token(aud=HERE))
        assert len(local.asked) == 2  # both places of its metadata, once


async def test_whoever_has_a_known_key_does_not_wait_for_a_slow_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as local:
        issuer = Issuer(local.address, [HERE])
        assert await issuer.verify(local.token(aud=HERE))
        monkeypatch.setattr(oauth, "KEYS_REST", 0.0)
        local.pause = 3.0
        local.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(issuer.verify, local.token(aud=HERE, kid="second"))
            await anyio.sleep(0.1)
            with anyio.fail_after(2):
                assert await issuer.verify(local.token(aud=HERE))


@pytest.mark.parametrize("published", ["keys", {"keys": 3}, {"keys": [3, None, {"kty": "EC"}]}])
async def test_keys_that_are_none_are_told(published: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing() as local:
        monkeypatch.setattr(local, "published", lambda: published)
        with pytest.raises(ProviderOutputError):
            await Issuer(local.address, [HERE]).verify(local.token(aud=HERE))


async def test_an_issuer_that_calls_itself_otherwise_is_told() -> None:
    with issuing() as local:
        local.metadata["issuer"] = local.address + "/"
        with pytest.raises(ProviderOutputError, match="has to be the same to the letter"):
            await Issuer(local.address, [HERE]).verify(local.token(aud=HERE))


async def test_the_address_of_the_keys_may_be_a_setting() -> None:
    with issuing() as local:
        issuer = Issuer(local.address, [HERE], keys=f"{local.address}/keys", user_claim="email")
        found = await issuer.verify(local.token(aud=HERE, email="anna@example.com"))
        assert found is not None
        assert found.subject == "anna@example.com"
        assert local.asked == ["/keys"]
