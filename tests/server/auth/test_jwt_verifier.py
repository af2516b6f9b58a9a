"""Tests of JSON Web Token verification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.authentication import AuthenticationError

from sightline.server.auth import jwt_verifier
from sightline.server.auth.jwt_verifier import JwksClient, JwtVerifier
from sightline.storage.errors import ConfigurationError
from tests.support.token_issuer import AUDIENCE, EcKey, Issuer, RsaKey, payload, run_issuer

KEY = RsaKey("2026-11")


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def verifier(issuer: Issuer, clock: Clock | None = None, prefix: str = "") -> JwtVerifier:
    return JwtVerifier(
        JwksClient(issuer.url, clock=clock or Clock()),
        issuer=issuer.name,
        audience=AUDIENCE,
        algorithms=("RS256", "ES256"),
        scope_prefix=prefix,
    )


async def is_rejected(token: str, *keys: RsaKey) -> bool:
    async with run_issuer(*(keys or (KEY,))) as issuer:
        return await verifier(issuer).verify_token(token) is None


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> bytes:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


@pytest.mark.parametrize("key", [KEY, EcKey("curve")], ids=["RS256", "ES256"])
async def test_a_valid_token_returns_its_subject_and_scopes(key: RsaKey) -> None:
    async with run_issuer(key) as issuer:
        found = await verifier(issuer).verify_token(key.token())
    assert found is not None
    assert (found.client_id, found.scopes) == ("jwt:ada", ["read", "write"])
    assert key.token() not in repr(found)


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "sl:read analytics"}, ["read"]),
        ({"scope": None, "scp": ["sl:read", "sl:analytics"]}, ["read", "analytics"]),
        ({"scope": None, "scp": "sl:write"}, ["write"]),
        ({"scope": None}, []),
    ],
)
async def test_only_known_scopes_with_the_prefix_are_returned(
    claims: dict[str, Any], scopes: list[str]
) -> None:
    async with run_issuer(KEY) as issuer:
        found = await verifier(issuer, prefix="sl:").verify_token(KEY.token(**claims))
    assert found is not None
    assert found.scopes == scopes


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example/mcp"},
        {"aud": ["https://other.example/mcp"]},
        {"aud": None},
        {"aud": AUDIENCE + "/"},
        {"iss": "https://login.example"},
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"exp": None},
        {"exp": "never"},
        {"exp": float("inf")},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 201},
        {"sub": "ada\nlevel=error"},
        {"scope": {"read": True}},
    ],
    ids=repr,
)
async def test_a_token_with_an_invalid_claim_is_rejected(claims: dict[str, Any]) -> None:
    assert await is_rejected(KEY.token(**claims))


@pytest.mark.parametrize(("claim", "seconds_from_now"), [("exp", -31), ("nbf", 300)])
async def test_an_expired_or_future_token_is_rejected(claim: str, seconds_from_now: int) -> None:
    assert await is_rejected(KEY.token(**{claim: int(time.time()) + seconds_from_now}))


async def test_clock_leeway_and_several_audiences_are_accepted() -> None:
    now = int(time.time())
    token = KEY.token(exp=now - 10, nbf=now + 10, aud=["https://other.example", AUDIENCE])
    assert not await is_rejected(token)


async def test_an_unsigned_token_is_rejected() -> None:
    for name in ("none", "None", "NONE", ""):
        header = {"alg": name, "typ": "JWT", "kid": KEY.kid}
        assert await is_rejected((unsigned(header, payload()) + b".").decode())


async def test_a_token_signed_with_the_public_key_as_secret_is_rejected() -> None:
    public = KEY.private.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(KEY.public).encode(),
    ):
        text = unsigned({"alg": "HS256", "typ": "JWT", "kid": KEY.kid}, payload())
        signature = base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest())
        assert await is_rejected((text + b"." + signature.rstrip(b"=")).decode())


async def test_a_token_of_another_key_with_the_same_id_is_rejected() -> None:
    assert await is_rejected(RsaKey(KEY.kid).token())


async def test_a_modified_token_is_rejected() -> None:
    header, _, signature = KEY.token(scope="read").split(".")
    claims = unsigned({}, payload(scope="read write analytics")).split(b".")[1].decode()
    assert await is_rejected(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "2026-11' OR '1'='1", "http://evil.example/keys", "x" * 300, "", "\x00"],
)
async def test_an_unusual_key_id_is_rejected(kid: str) -> None:
    assert await is_rejected(KEY.token(headers={"kid": kid}))


async def test_keys_in_the_token_header_are_ignored() -> None:
    own = RsaKey("own")
    async with run_issuer(own) as evil:
        headers = {"jku": evil.url, "x5u": evil.url, "jwk": own.public}
        assert await is_rejected(own.token(headers=headers))
        assert await is_rejected(own.token(headers={**headers, "kid": KEY.kid}))
        assert evil.fetches == 0


async def test_a_token_without_a_key_id_needs_a_set_of_one_key() -> None:
    alone = RsaKey(None)
    assert not await is_rejected(alone.token(), alone)
    assert await is_rejected(alone.token(), alone, KEY)


async def test_weak_keys_and_keys_for_another_purpose_are_rejected() -> None:
    weak = RsaKey("weak", bits=1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = weak.token()
    assert await is_rejected(token, weak)
    for change in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "AAAA"}, {"n": "!"}):
        async with run_issuer(KEY) as issuer:
            issuer.published = {"keys": [KEY.public | change]}
            assert await verifier(issuer).verify_token(KEY.token()) is None


async def test_duplicate_key_ids_are_ambiguous() -> None:
    assert await is_rejected(KEY.token(), KEY, RsaKey(KEY.kid))


NESTED = base64.urlsafe_b64encode(b"[" * 12_000).decode()


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "e30.e30.", "é.é.é", "\udcff", "x" * 99, f"{NESTED}.e30.e30"],
)
async def test_malformed_tokens_are_rejected(token: str) -> None:
    assert await is_rejected(token)


async def test_a_huge_token_is_rejected_before_it_is_parsed() -> None:
    async with run_issuer(KEY) as issuer:
        token = KEY.token(padding="x" * 20_000)
        assert await verifier(issuer).verify_token(token) is None
        assert issuer.fetches == 0


async def test_an_unknown_key_id_triggers_a_refresh_after_the_cooldown() -> None:
    new, clock = RsaKey("2026-12"), Clock()
    async with run_issuer(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        issuer.published = {"keys": [new.public]}
        for number in range(5):
            unknown = new.token(headers={"kid": f"guess-{number}"})
            assert await verify.verify_token(unknown) is None
        assert issuer.fetches == 1
        clock.now += jwt_verifier.MIN_REFRESH_INTERVAL_SECONDS
        assert await verify.verify_token(new.token()) is not None
        assert await verify.verify_token(KEY.token()) is None
        assert issuer.fetches == 2


async def test_a_withdrawn_key_is_rejected_after_the_ttl() -> None:
    clock = Clock()
    async with run_issuer(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        issuer.published = {"keys": []}
        assert await verify.verify_token(KEY.token()) is not None
        clock.now += jwt_verifier.TTL_SECONDS + 1
        assert await verify.verify_token(KEY.token()) is None


async def test_verification_fails_with_an_error_until_the_keys_can_be_fetched() -> None:
    clock = Clock()
    async with run_issuer(KEY) as issuer:
        await issuer.stop()
        verify = verifier(issuer, clock)
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="cannot be checked at the moment"):
                await verify.verify_token(KEY.token())
        await issuer.start()
        with pytest.raises(AuthenticationError):
            await verify.verify_token(KEY.token())
        assert issuer.fetches == 0
        clock.now += jwt_verifier.MIN_REFRESH_INTERVAL_SECONDS
        assert await verify.verify_token(KEY.token()) is not None


async def test_stale_keys_are_used_while_a_refresh_fails() -> None:
    clock = Clock()
    async with run_issuer(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        await issuer.stop()
        clock.now += jwt_verifier.TTL_SECONDS + 1
        assert await verify.verify_token(KEY.token()) is not None
        clock.now += jwt_verifier.STALE_IF_ERROR_SECONDS
        with pytest.raises(AuthenticationError):
            await verify.verify_token(KEY.token())


@pytest.mark.parametrize(
    "published",
    [b"", b"<html>", b"[]", b'{"keys": 3}', b'{"keys": [1]}', b'{"keys": [{"kid": []}]}', b"{}"],
)
async def test_a_malformed_key_set_is_a_failed_fetch(published: bytes) -> None:
    async with run_issuer() as issuer:
        issuer.published = published
        with pytest.raises(AuthenticationError):
            await verifier(issuer).verify_token(KEY.token())


async def test_a_too_large_or_unsuccessful_response_is_a_failed_fetch() -> None:
    async with run_issuer(KEY) as issuer:
        issuer.published = (
            b" " * jwt_verifier.MAX_RESPONSE_BYTES + json.dumps({"keys": [KEY.public]}).encode()
        )
        with pytest.raises(AuthenticationError):
            await verifier(issuer).verify_token(KEY.token())
        for issuer.status in (302, 404, 500):
            with pytest.raises(AuthenticationError):
                await verifier(issuer).verify_token(KEY.token())


@pytest.mark.parametrize("url", ["http://login.example/keys", "file:///etc/keys", "ftp://x/y"])
def test_the_jwks_url_must_be_https_or_loopback(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use https"):
        JwksClient(url)
