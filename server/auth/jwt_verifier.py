"""Verifies JSON Web Tokens of an OAuth 2.1 server (RFC 9068, RFC 8725).

The algorithm must be on a list of asymmetric ones. The key is found by its ``kid`` in the JWKS; the
header fields ``jku``, ``x5u`` and ``jwk`` are ignored. Issuer, audience, expiry and subject are
required. The reason for a rejection is logged, but not returned to the client.
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

MAX_TOKEN_BYTES = 16_384
#: Accepted difference between the clocks of the two servers.
LEEWAY_SECONDS = 30.0
_REQUIRED_CLAIMS = ["exp", "iss", "aud", "sub"]
_MAX_NAME_CHARS = 200


class _RejectedError(Exception):
    """The reason why a token is invalid, for the log."""


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

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return principal and scopes of a token, or None if it is invalid.

        Raises AuthenticationError if the keys are not available.
        """
        try:
            return await self._verify(token)
        except (jwt.InvalidTokenError, _RejectedError, OverflowError, RecursionError) as error:
            logger.info("rejected a token: %s", error)
            return None
        except KeysUnavailableError as error:
            message = "tokens cannot be checked at the moment; try again"
            raise AuthenticationError(message) from error

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
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self.audience,
            issuer=self.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED_CLAIMS},
        )
        return AccessToken(
            token=f"jwt {kid}",  # other code does not need the secret token
            client_id=_principal(claims),
            scopes=_scopes(claims, self.scope_prefix),
            expires_at=int(claims["exp"] + LEEWAY_SECONDS),
            subject=claims["sub"],
            claims={"iss": claims["iss"]},
        )


def _principal(claims: Mapping[str, Any]) -> str:
    """Return ``jwt:SUBJECT``. The prefix prevents collisions with static token names."""
    subject = claims["sub"]
    if not subject or len(subject) > _MAX_NAME_CHARS or not subject.isprintable():
        raise _RejectedError(f"its subject is {shown(subject)}")
    return f"jwt:{subject}"


def _scopes(claims: Mapping[str, Any], prefix: str) -> list[str]:
    """Return the known scopes from ``scope`` (RFC 9068) or ``scp`` (other servers)."""
    granted = claims.get("scope", claims.get("scp", ""))
    names = granted.split() if isinstance(granted, str) else granted
    if not isinstance(names, list):
        raise _RejectedError(f"its scope is {shown(granted)}")
    return [scope for scope in SCOPES if prefix + scope in names]
