"""Verifies JSON Web Tokens of an OAuth 2.1 server (RFC 9068, RFC 8725).

The algorithm must be on a list of asymmetric ones. The key is found by its ``kid`` in the key set
(JWKS) of the server; the header fields ``jku``, ``x5u`` and ``jwk`` are ignored. Issuer, audience,
expiry and subject are required. Tokens for another use (ID, refresh, logout) are rejected. The
reason for a rejection is logged, but not returned to the client.

PyJWT verifies the signature only. It converts claims of a wrong type, so `_Claims` validates their
types before they are used.

`jwt.PyJWKClient` is not used: it does not limit the response size, blocks the event loop, has no
cooldown after failed requests, and picks the first of two keys with the same ``kid``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import jwt
from jwt.types import Options
from mcp.server.auth.provider import AccessToken
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)
from starlette.authentication import AuthenticationError

from sightline.server.auth.scopes import SCOPES
from sightline.server.config.hosts import is_loopback
from sightline.storage.errors import ConfigurationError, shown

logger = logging.getLogger(__name__)

MAX_TOKEN_BYTES = 16_384
#: Accepted difference between the clocks of the two servers.
LEEWAY_SECONDS = 30.0
_MAX_NAME_CHARS = 200
#: Header ``typ`` of an access token (RFC 9068), in lower case.
_ACCESS_TOKEN_TYPES = ("at+jwt", "application/at+jwt")
#: Authorization servers that predate RFC 9068 write no ``typ`` or this one, also in ID tokens.
_GENERIC_TYPES = ("", "jwt", "application/jwt")
#: Values of the claim ``typ`` (Keycloak) of an access token.
_ACCESS_TOKEN_CLAIM_TYPES = ("bearer", "at+jwt", "jwt")
#: Claims of ID tokens and logout tokens, which access tokens do not have.
_OTHER_USE_CLAIMS = ("nonce", "at_hash", "c_hash", "s_hash", "events")

#: Time limit of a request for the keys.
TIMEOUT_SECONDS = 5.0
MAX_RESPONSE_BYTES = 262_144
#: Age after which the keys are fetched again.
TTL_SECONDS = 600.0
#: Age up to which cached keys are used if they cannot be fetched again.
STALE_IF_ERROR_SECONDS = 86_400.0
#: Cooldown between two requests, also after a failure or an unknown ``kid``.
MIN_REFRESH_INTERVAL_SECONDS = 10.0

#: Key type of each algorithm family. Symmetric keys are never accepted.
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_PUBLIC_FIELDS = ("kty", "n", "e", "crv", "x", "y")
_MIN_RSA_BITS = 2048
#: Without compression, so that the size limit applies to the decoded response.
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class _KeySet(BaseModel):
    keys: list[dict[str, Any]]


class JwksClient:
    """Returns keys by ``kid``. An unknown ``kid`` causes a refresh after the cooldown."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raise ConfigurationError unless the URL is https, or http to loopback."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConfigurationError(
                f"The JWKS URL {url!r} is not allowed: use https, or http to this machine."
            )
        self._url = url
        self._clock = clock
        self._refreshing = asyncio.Lock()
        self._keys: list[dict[str, Any]] = []
        self._fetched_at = self._requested_at = -math.inf

    async def get(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key for a ``kid`` and an algorithm, or None if there is none.

        Without a ``kid``, the set must contain exactly one key. Raises AuthenticationError.
        """
        # During a refresh, other calls go on with the expired keys.
        if self._find(kid) is None or (self._is_expired() and not self._refreshing.locked()):
            async with self._refreshing:
                if self._find(kid) is None or self._is_expired():
                    await self._refresh()
        if self._clock() - self._fetched_at > STALE_IF_ERROR_SECONDS:
            raise AuthenticationError("tokens cannot be checked at the moment; try again")
        data = self._find(kid)
        return None if data is None else _usable_key(data, algorithm)

    def _is_expired(self) -> bool:
        return self._clock() - self._fetched_at > TTL_SECONDS

    def _find(self, kid: str | None) -> dict[str, Any] | None:
        """Return the only matching key. Two keys with the same id are ambiguous."""
        keys = [key for key in self._keys if kid is None or key.get("kid") == kid]
        return keys[0] if len(keys) == 1 else None

    async def _refresh(self) -> None:
        if self._clock() - self._requested_at < MIN_REFRESH_INTERVAL_SECONDS:
            return
        self._requested_at = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self._keys = await self._fetch()
        except (TimeoutError, ValueError, httpx.HTTPError) as error:
            reason = str(error) or type(error).__name__
            logger.warning("cannot fetch the keys at %s: %s", self._url, reason)
        else:
            self._fetched_at = self._clock()

    async def _fetch(self) -> list[dict[str, Any]]:
        body = bytearray()
        async with (
            httpx.AsyncClient(follow_redirects=False, timeout=TIMEOUT_SECONDS) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"the response status is {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ValueError(f"the response exceeds {MAX_RESPONSE_BYTES:,} bytes")
        try:
            keys = _KeySet.model_validate_json(bytes(body)).keys
        except ValidationError:
            keys = None
        if keys is None or not all(isinstance(key.get("kid", ""), str) for key in keys):
            raise ValueError("the response is not a JSON Web Key Set")
        return keys


def _usable_key(data: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """Return the key, or None if it is for another purpose or too weak."""
    if data.get("kty") != _KEY_TYPES.get(algorithm[:2]):
        return None
    if data.get("use", "sig") != "sig" or data.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK({name: data[name] for name in _PUBLIC_FIELDS if name in data}, algorithm)
    except jwt.PyJWTError as error:
        logger.warning("ignoring an invalid key: %s", error)
        return None
    bits = getattr(key.key, "key_size", None)
    return None if data["kty"] == "RSA" and (bits is None or bits < _MIN_RSA_BITS) else key


class _RejectedError(Exception):
    """The reason why a token is invalid, for the log."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it contains unprintable characters")
    return text


_Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_MAX_NAME_CHARS),
    AfterValidator(_printable),
]
#: Seconds since 1970. The limit keeps the sum with the leeway an exact integer.
_Time = Annotated[FiniteFloat, Field(ge=0, le=2**52)]


class _Claims(BaseModel):
    """The claims that are used, with strict types: ``"1"`` is not a number."""

    model_config = ConfigDict(strict=True)

    iss: str
    aud: str | list[str]
    sub: _Name
    exp: _Time
    nbf: _Time = 0
    iat: _Time = 0
    scope: str | list[str] | None = None
    scp: str | list[str] | None = None
    typ: str | None = None
    azp: str | None = None
    client_id: str | None = None

    def check(self, issuer: str, audience: str, now: float) -> None:
        """Raise _RejectedError unless the token is for this server and valid now."""
        if self.iss != issuer:
            raise _RejectedError(f"its issuer is {shown(self.iss)}")
        if audience not in ([self.aud] if isinstance(self.aud, str) else self.aud):
            raise _RejectedError(f"its audience is {shown(self.aud)}")
        if self.exp <= now - LEEWAY_SECONDS:
            raise _RejectedError("it has expired")
        if max(self.nbf, self.iat) > now + LEEWAY_SECONDS:
            raise _RejectedError("it is not valid yet")

    def known_scopes(self, prefix: str) -> list[str]:
        """Return the known scopes from ``scope`` (RFC 9068) or ``scp`` (other servers)."""
        granted = self.scp if self.scope is None else self.scope
        names = granted.split() if isinstance(granted, str) else granted or []
        return [scope for scope in SCOPES if prefix + scope in names]


@dataclass(frozen=True, slots=True)
class JwtVerifier:
    """`TokenVerifier` of the SDK for the tokens of one authorization server.

    With the prefix ``sightline:``, the scope ``sightline:read`` means ``read``.
    """

    keys: JwksClient
    issuer: str
    audience: str
    algorithms: Sequence[str]
    scope_prefix: str = ""
    #: Reject tokens whose header does not say that they are access tokens (RFC 9068).
    require_at_jwt: bool = False

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return principal and scopes of a token, or None if it is invalid.

        Raises AuthenticationError if the keys are not available.
        """
        try:
            return await self._verify(token)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False, include_context=False)
            problems = ", ".join(f"{each['loc'][0]}: {each['msg']}" for each in details)
            logger.info("rejected a token: invalid claims: %s", problems)
        except (jwt.InvalidTokenError, _RejectedError, RecursionError) as error:
            logger.info("rejected a token: %s", error)
        return None

    async def _verify(self, token: str) -> AccessToken:
        if len(token) > MAX_TOKEN_BYTES:
            raise _RejectedError(f"it has {len(token):,} bytes; the limit is {MAX_TOKEN_BYTES:,}")
        if not token.isascii():
            raise _RejectedError("it contains non-ASCII characters")
        header = jwt.get_unverified_header(token)
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm not in self.algorithms:
            raise _RejectedError(f"its algorithm is {shown(algorithm)}")
        if kid is not None and (not isinstance(kid, str) or len(kid) > _MAX_NAME_CHARS):
            raise _RejectedError(f"its key id is {shown(kid)}")
        key = await self.keys.get(kid, algorithm)
        if key is None:
            raise _RejectedError(f"there is no key {shown(kid)} for {algorithm}")
        payload = jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ONLY)
        claims = _Claims.model_validate(payload)
        claims.check(self.issuer, self.audience, time.time())
        self._check_use(header.get("typ", ""), claims.typ, payload)
        return AccessToken(
            token=f"jwt {kid}",  # other code does not need the secret token
            # The prefix prevents collisions with static token names.
            client_id=f"jwt:{claims.sub}",
            scopes=claims.known_scopes(self.scope_prefix),
            expires_at=int(claims.exp + LEEWAY_SECONDS),
            subject=claims.sub,
            claims={"iss": claims.iss},
        )

    def _check_use(self, typ: object, claim_typ: str | None, payload: Mapping[str, Any]) -> None:
        """Raise _RejectedError unless it is an access token."""
        header_type = typ.lower() if isinstance(typ, str) else None
        if header_type in _ACCESS_TOKEN_TYPES:
            return
        if self.require_at_jwt or header_type not in _GENERIC_TYPES:
            raise _RejectedError(f"its type is {shown(typ)}")
        if claim_typ is not None and claim_typ.lower() not in _ACCESS_TOKEN_CLAIM_TYPES:
            raise _RejectedError(f"its claim typ is {shown(claim_typ)}")
        for claim in _OTHER_USE_CLAIMS:
            if claim in payload:
                raise _RejectedError(f"it is not an access token: it has the claim {claim}")


#: `_Claims` validates the claims.
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
