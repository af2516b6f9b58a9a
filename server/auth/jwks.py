"""The public keys of an authorisation server, fetched and kept."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jwt import PyJWK, PyJWTError
from pydantic_core import from_json

from sightline.server.config.hosts import is_loopback
from sightline.storage.errors import ConfigurationError

logger = logging.getLogger(__name__)

#: Families of algorithms by the kind of key that they need. None of them takes a shared secret.
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
#: Unpacked, an answer may be any size.
_ASKED = {"Accept": "application/json", "Accept-Encoding": "identity"}
_LEAST_RSA_BITS = 2048
#: Of a key as it is published; whatever else stands beside them is not looked at.
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")


class KeysUnavailableError(Exception):
    """No key is known, and none can be fetched: nothing can be said of any token."""


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How keys are fetched, and how long they count."""

    timeout_seconds: float
    most_bytes: int
    #: After which they are fetched again.
    kept_seconds: float
    #: For which they still count where they cannot be fetched again.
    stale_seconds: float
    #: Between two fetches, however many unknown keys are named meanwhile.
    pause_seconds: float


class JwksClient:
    """Keys by their id. An id that is not known asks for them anew, but not at any rate."""

    def __init__(
        self, url: str, limits: KeyLimits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``url`` is https, or http on this machine; raises ConfigurationError for any other."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConfigurationError(
                f"keys may be fetched over https, or over http from this machine; not from {url!r}"
            )
        self._url = url
        self._limits = limits
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._keys: Mapping[str | None, Mapping[str, Any]] = {}
        self._fetched_at = -math.inf
        self._tried_at = -math.inf

    async def get(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key of that id, fit for the algorithm; ``None`` where there is none.

        Without an id it is the only key that there is. Raises KeysUnavailableError.
        """
        known = self._find(kid) is not None
        # While one call asks for them again, the others go on with those that there are.
        if not known or (not self._fresh() and not self._fetching.locked()):
            async with self._fetching:
                if self._find(kid) is None or not self._fresh():
                    await self._fetch_unless_just_tried()
        if self._clock() - self._fetched_at > self._limits.stale_seconds:
            raise KeysUnavailableError(self._url)
        found = self._find(kid)
        return None if found is None else _fit(found, algorithm)

    def _fresh(self) -> bool:
        return self._clock() - self._fetched_at <= self._limits.kept_seconds

    def _find(self, kid: str | None) -> Mapping[str, Any] | None:
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    async def _fetch_unless_just_tried(self) -> None:
        if self._clock() - self._tried_at < self._limits.pause_seconds:
            return
        self._tried_at = self._clock()
        try:
            self._keys = _read(await self._download())
        except _FetchError as error:
            logger.warning("the keys at %s could not be fetched: %s", self._url, error)
        else:
            self._fetched_at = self._clock()

    async def _download(self) -> bytes:
        # httpx is imported only where tokens are checked: the handshake need not wait for it.
        import httpx

        most, seconds = self._limits.most_bytes, self._limits.timeout_seconds
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(follow_redirects=False, timeout=seconds) as client,
                client.stream("GET", self._url, headers=_ASKED) as answer,
            ):
                if answer.status_code != 200:
                    raise _FetchError(f"the answer is {answer.status_code}")
                body = bytearray()
                async for part in answer.aiter_raw():
                    body += part
                    if len(body) > most:
                        raise _FetchError(f"the answer is larger than {most:,} bytes")
                return bytes(body)
        except TimeoutError:
            raise _FetchError(f"no answer in {seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _FetchError(str(error) or type(error).__name__) from error


class _FetchError(Exception):
    """Why there are no new keys."""


def _read(body: bytes) -> dict[str | None, Mapping[str, Any]]:
    """Keys by id; two of one id are none, since a token could not say which it means."""
    try:
        listed = from_json(body)["keys"]
        keys: dict[str | None, Mapping[str, Any]] = {}
        twice = set()
        for key in listed:
            kid = key.get("kid")
            if kid in keys:
                twice.add(kid)
            keys[kid] = key
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _FetchError("the answer is no set of JSON Web Keys") from error
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _fit(key: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    """The key for that algorithm; ``None`` where it was made for another, or is too weak."""
    if key.get("kty") != _KINDS.get(algorithm[:2]):
        return None
    if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
        return None
    try:
        fit = PyJWK({name: key[name] for name in _PUBLIC if name in key}, algorithm)
    except PyJWTError as error:
        logger.warning("a key cannot be used: %s", error)
        return None
    bits = getattr(fit.key, "key_size", None)
    return None if key["kty"] == "RSA" and (bits is None or bits < _LEAST_RSA_BITS) else fit
