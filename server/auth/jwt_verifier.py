"""JSON Web Tokens of an OAuth 2.1 authorisation server, checked as RFC 9068 and RFC 8725 ask.

The algorithm is one of a list and never a symmetric one; the key is one of those that the server
publishes, by its id alone (``jku``, ``x5u`` and ``jwk`` in a header are not looked at); issuer,
audience, expiry and subject must be there and right. Why a token was refused stands in the log:
its bearer is told no more than that it was.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthenticationError

from sightline.server.auth.jwks import JwksClient, KeysUnavailableError
from sightline.server.auth.scopes import SCOPES
from sightline.storage.errors import shown

logger = logging.getLogger(__name__)

_REQUIRED = ("exp", "iss", "aud", "sub")
_MOST_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    leeway_seconds: float
    most_bytes: int
    #: What a scope of ours is preceded by in the token: ``sightline:`` for ``sightline:read``.
    scope_prefix: str = ""


class JwtVerifier:
    """The SDK's `TokenVerifier` over the keys of one authorisation server."""

    def __init__(self, keys: JwksClient, expected: Expected) -> None:
        self._keys = keys
        self._expected = expected

    async def verify_token(self, token: str) -> AccessToken | None:
        """Whom the token speaks for; ``None`` for one that does not hold.

        Raises AuthenticationError where no token can be checked at the moment.
        """
        try:
            return await self._verify(token)
        except (jwt.InvalidTokenError, _RefusedError, OverflowError, RecursionError) as error:
            logger.info("a token was refused: %s", error)
            return None
        except KeysUnavailableError as error:
            msg = "tokens cannot be checked at the moment; try again"
            raise AuthenticationError(msg) from error

    async def _verify(self, token: str) -> AccessToken:
        expected = self._expected
        if len(token) > expected.most_bytes:
            raise _RefusedError(f"it has {len(token):,} bytes; {expected.most_bytes:,} are taken")
        if not token.isascii():
            raise _RefusedError("it has characters that no token has")
        kid, algorithm = self._header(token)
        key = await self._keys.get(kid, algorithm)
        if key is None:
            raise _RefusedError(f"there is no key {shown(kid)} for {algorithm}")
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=expected.audience,
            issuer=expected.issuer,
            leeway=expected.leeway_seconds,
            options={"require": list(_REQUIRED)},
        )
        return AccessToken(
            token=f"jwt {kid}",  # the token itself goes no further: nothing behind this needs it
            client_id=_principal(claims),
            scopes=_scopes(claims, expected.scope_prefix),
            expires_at=int(claims["exp"] + expected.leeway_seconds),
            subject=claims["sub"],
            claims={"iss": claims["iss"]},
        )

    def _header(self, token: str) -> tuple[str | None, str]:
        header = jwt.get_unverified_header(token)
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm not in self._expected.algorithms:
            raise _RefusedError(f"its algorithm is {shown(algorithm)}")
        if kid is not None and (not isinstance(kid, str) or len(kid) > _MOST_NAME_CHARS):
            raise _RefusedError(f"its key id is {shown(kid)}")
        return kid, algorithm


class _RefusedError(Exception):
    """Why a token does not hold, for the log."""


def _principal(claims: Mapping[str, Any]) -> str:
    """No static token has a colon in its name, so nobody can be taken for the holder of one."""
    subject = claims["sub"]
    if not subject or len(subject) > _MOST_NAME_CHARS or not subject.isprintable():
        raise _RefusedError(f"its subject is {shown(subject)}")
    return f"jwt:{subject}"


def _scopes(claims: Mapping[str, Any], prefix: str) -> list[str]:
    """Those of ours, from ``scope`` (RFC 9068) or ``scp`` (as some servers write it)."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given
    if not isinstance(words, list):
        raise _RefusedError(f"its scope is {shown(given)}")
    return [scope for scope in SCOPES if prefix + scope in words]
