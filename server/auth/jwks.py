"""Fetches and caches the public keys (JWKS) of an authorization server.

`jwt.PyJWKClient` is not used: it does not limit the response size, blocks the event loop, has no
cooldown after failed requests, and picks the first of two keys with the same ``kid``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from jwt import PyJWK, PyJWTError
from pydantic_core import from_json

from sightline.server.config.hosts import is_loopback
from sightline.storage.errors import ConfigurationError

logger = logging.getLogger(__name__)

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


class KeysUnavailableError(Exception):
    """The keys could not be fetched, so no token can be verified."""


class _FetchError(Exception):
    """The reason why a request for the keys failed."""


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
        self._keys: Mapping[str | None, Mapping[str, Any]] = {}
        self._fetched_at = -math.inf
        self._requested_at = -math.inf

    async def get(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """Return the key for a ``kid`` and an algorithm, or None if there is none.

        Without a ``kid``, the set must contain exactly one key. Raises KeysUnavailableError.
        """
        is_unknown = self._find(kid) is None
        # During a refresh, other calls go on with the expired keys.
        if is_unknown or (self._is_expired() and not self._refreshing.locked()):
            async with self._refreshing:
                if self._find(kid) is None or self._is_expired():
                    await self._refresh()
        if self._clock() - self._fetched_at > STALE_IF_ERROR_SECONDS:
            raise KeysUnavailableError(self._url)
        data = self._find(kid)
        return None if data is None else _usable_key(data, algorithm)

    def _is_expired(self) -> bool:
        return self._clock() - self._fetched_at > TTL_SECONDS

    def _find(self, kid: str | None) -> Mapping[str, Any] | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        if self._clock() - self._requested_at < MIN_REFRESH_INTERVAL_SECONDS:
            return
        self._requested_at = self._clock()
        try:
            self._keys = _parse_key_set(await self._download())
        except _FetchError as error:
            logger.warning("cannot fetch the keys at %s: %s", self._url, error)
        else:
            self._fetched_at = self._clock()

    async def _download(self) -> bytes:
        import httpx  # only servers that verify signed tokens need it

        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                httpx.AsyncClient(follow_redirects=False, timeout=TIMEOUT_SECONDS) as client,
                client.stream("GET", self._url, headers=_HEADERS) as response,
            ):
                if response.status_code != 200:
                    raise _FetchError(f"the response status is {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_RESPONSE_BYTES:
                        raise _FetchError(f"the response exceeds {MAX_RESPONSE_BYTES:,} bytes")
                return bytes(body)
        except TimeoutError:
            raise _FetchError(f"no response within {TIMEOUT_SECONDS:g} s") from None
        except httpx.HTTPError as error:
            raise _FetchError(str(error) or type(error).__name__) from error


def _parse_key_set(body: bytes) -> dict[str | None, Mapping[str, Any]]:
    """Return the keys by ``kid``. Duplicate ids are dropped as ambiguous."""
    try:
        keys: dict[str | None, Mapping[str, Any]] = {}
        duplicates = set()
        for key in from_json(body)["keys"]:
            kid = key.get("kid")
            if kid in keys:
                duplicates.add(kid)
            keys[kid] = key
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _FetchError("the response is not a JSON Web Key Set") from error
    return {kid: key for kid, key in keys.items() if kid not in duplicates}


def _usable_key(data: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    """Return the key, or None if it is for another purpose or too weak."""
    if data.get("kty") != _KEY_TYPES.get(algorithm[:2]):
        return None
    if data.get("use", "sig") != "sig" or data.get("alg", algorithm) != algorithm:
        return None
    try:
        key = PyJWK({name: data[name] for name in _PUBLIC_FIELDS if name in data}, algorithm)
    except PyJWTError as error:
        logger.warning("ignoring an invalid key: %s", error)
        return None
    bits = getattr(key.key, "key_size", None)
    return None if data["kty"] == "RSA" and (bits is None or bits < _MIN_RSA_BITS) else key
