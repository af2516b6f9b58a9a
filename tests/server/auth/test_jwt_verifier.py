"""JSON Web Tokens: what holds, and every way in which one does not."""

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

from sightline.server.auth.jwks import JwksClient, KeyLimits
from sightline.server.auth.jwt_verifier import Expected, JwtVerifier
from sightline.storage.errors import ConfigurationError
from tests.support.issuer import AUDIENCE, EcKey, Issuer, RsaKey, issuing, payload

LIMITS = KeyLimits(
    timeout_seconds=5, most_bytes=20_000, kept_seconds=600, stale_seconds=3600, pause_seconds=10
)
KEY = RsaKey("2026-11")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def verifier(
    issuer: Issuer, clock: Clock | None = None, prefix: str = "", **limits: Any
) -> JwtVerifier:
    bounds = KeyLimits(**{name: getattr(LIMITS, name) for name in LIMITS.__slots__} | limits)
    return JwtVerifier(
        JwksClient(issuer.url, bounds, clock=clock or Clock()),
        Expected(
            issuer=issuer.name,
            audience=AUDIENCE,
            algorithms=("RS256", "ES256"),
            leeway_seconds=30,
            most_bytes=16_384,
            scope_prefix=prefix,
        ),
    )


async def refused(token: str, *keys: RsaKey) -> bool:
    async with issuing(*(keys or (KEY,))) as issuer:
        return await verifier(issuer).verify_token(token) is None


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> bytes:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


@pytest.mark.parametrize("key", [KEY, EcKey("curve")], ids=["RS256", "ES256"])
async def test_a_token_that_holds_names_its_subject_and_scopes(key: RsaKey) -> None:
    async with issuing(key) as issuer:
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
async def test_scopes_are_ours_and_carry_the_prefix(
    claims: dict[str, Any], scopes: list[str]
) -> None:
    async with issuing(KEY) as issuer:
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
async def test_a_token_with_a_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    assert await refused(KEY.token(**claims))


@pytest.mark.parametrize(("claim", "seconds_from_now"), [("exp", -31), ("nbf", 300)])
async def test_a_token_outside_its_time_is_refused(claim: str, seconds_from_now: int) -> None:
    assert await refused(KEY.token(**{claim: int(time.time()) + seconds_from_now}))


async def test_clocks_may_differ_a_little_and_one_audience_of_several_is_enough() -> None:
    now = int(time.time())
    token = KEY.token(exp=now - 10, nbf=now + 10, aud=["https://other.example", AUDIENCE])
    assert not await refused(token)


async def test_an_unsigned_token_is_refused() -> None:
    for name in ("none", "None", "NONE", ""):
        header = {"alg": name, "typ": "JWT", "kid": KEY.kid}
        assert await refused((unsigned(header, payload()) + b".").decode())


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    public = KEY.private.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(KEY.public).encode(),
    ):
        text = unsigned({"alg": "HS256", "typ": "JWT", "kid": KEY.kid}, payload())
        signature = base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest())
        assert await refused((text + b"." + signature.rstrip(b"=")).decode())


async def test_a_token_of_another_key_with_a_known_id_is_refused() -> None:
    assert await refused(RsaKey(KEY.kid).token())


async def test_a_changed_token_is_refused() -> None:
    header, _, signature = KEY.token(scope="read").split(".")
    claims = unsigned({}, payload(scope="read write analytics")).split(b".")[1].decode()
    assert await refused(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "2026-11' OR '1'='1", "http://evil.example/keys", "x" * 300, "", "\x00"],
)
async def test_a_key_id_is_a_name_and_nothing_else(kid: str) -> None:
    assert await refused(KEY.token(headers={"kid": kid}))


async def test_a_key_that_the_token_brings_along_is_not_looked_at() -> None:
    own = RsaKey("own")
    async with issuing(own) as evil:
        headers = {"jku": evil.url, "x5u": evil.url, "jwk": own.public}
        assert await refused(own.token(headers=headers))
        assert await refused(own.token(headers={**headers, "kid": KEY.kid}))
        assert evil.fetches == 0


async def test_a_token_without_a_key_id_needs_that_there_is_one_key() -> None:
    alone = RsaKey(None)
    assert not await refused(alone.token(), alone)
    assert await refused(alone.token(), alone, KEY)


async def test_keys_that_are_not_for_this_are_not_used() -> None:
    weak = RsaKey("weak", bits=1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = weak.token()
    assert await refused(token, weak)
    for change in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct", "k": "AAAA"}, {"n": "!"}):
        async with issuing(KEY) as issuer:
            issuer.published = {"keys": [KEY.public | change]}
            assert await verifier(issuer).verify_token(KEY.token()) is None


async def test_two_keys_of_one_id_are_none() -> None:
    assert await refused(KEY.token(), KEY, RsaKey(KEY.kid))


NESTED = base64.urlsafe_b64encode(b"[" * 12_000).decode()


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "e30.e30.", "é.é.é", "\udcff", "x" * 99, f"{NESTED}.e30.e30"],
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert await refused(token)


async def test_a_huge_token_is_refused_before_it_is_read() -> None:
    async with issuing(KEY) as issuer:
        token = KEY.token(padding="x" * 20_000)
        assert await verifier(issuer).verify_token(token) is None
        assert issuer.fetches == 0


async def test_a_new_key_is_fetched_when_a_token_names_it_and_not_at_any_rate() -> None:
    new, clock = RsaKey("2026-12"), Clock()
    async with issuing(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        issuer.published = {"keys": [new.public]}
        for number in range(5):
            unknown = new.token(headers={"kid": f"guess-{number}"})
            assert await verify.verify_token(unknown) is None
        assert issuer.fetches == 1
        clock.now += LIMITS.pause_seconds
        assert await verify.verify_token(new.token()) is not None
        assert await verify.verify_token(KEY.token()) is None
        assert issuer.fetches == 2


async def test_a_key_that_was_withdrawn_ends_with_the_time_that_keys_are_kept() -> None:
    clock = Clock()
    async with issuing(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        issuer.published = {"keys": []}
        assert await verify.verify_token(KEY.token()) is not None
        clock.now += LIMITS.kept_seconds + 1
        assert await verify.verify_token(KEY.token()) is None


async def test_without_keys_at_the_start_nothing_is_said_of_a_token_until_they_are_there() -> None:
    clock = Clock()
    async with issuing(KEY) as issuer:
        await issuer.stop()
        verify = verifier(issuer, clock)
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="cannot be checked at the moment"):
                await verify.verify_token(KEY.token())
        await issuer.start()
        clock.now += LIMITS.pause_seconds
        assert await verify.verify_token(KEY.token()) is not None


async def test_known_keys_outlive_their_source_for_a_while() -> None:
    clock = Clock()
    async with issuing(KEY) as issuer:
        verify = verifier(issuer, clock)
        assert await verify.verify_token(KEY.token()) is not None
        await issuer.stop()
        clock.now += LIMITS.kept_seconds + 1
        assert await verify.verify_token(KEY.token()) is not None
        clock.now += LIMITS.stale_seconds
        with pytest.raises(AuthenticationError):
            await verify.verify_token(KEY.token())


@pytest.mark.parametrize(
    "published",
    [b"", b"<html>", b"[]", b'{"keys": 3}', b'{"keys": [1]}', b'{"keys": [{"kid": []}]}', b"{}"],
)
async def test_an_answer_that_is_no_set_of_keys_is_none(published: bytes) -> None:
    async with issuing() as issuer:
        issuer.published = published
        with pytest.raises(AuthenticationError):
            await verifier(issuer).verify_token(KEY.token())


async def test_an_answer_that_is_too_large_or_no_success_is_none() -> None:
    async with issuing(KEY) as issuer:
        issuer.published = b" " * 20_001 + json.dumps({"keys": [KEY.public]}).encode()
        with pytest.raises(AuthenticationError):
            await verifier(issuer).verify_token(KEY.token())
        for issuer.status in (302, 404, 500):
            with pytest.raises(AuthenticationError):
                await verifier(issuer).verify_token(KEY.token())


@pytest.mark.parametrize("url", ["http://login.example/keys", "file:///etc/keys", "ftp://x/y"])
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="over https"):
        JwksClient(url, LIMITS)
