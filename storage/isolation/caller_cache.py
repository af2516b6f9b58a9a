"""Caches whose entries belong to one caller.

A shared entry would tell a caller, by time or by value, what another one has asked or stored. So
the cache itself adds `current_scope` to every key. All caches of stored data or of arguments use
these classes; tests/security/test_principal_caches.py checks that no other exists.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sightline.storage.isolation.caller import CallerScope, current_scope

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_FULL_CALLERS = 16
"""Callers that can fill their part before anything of another caller is evicted."""


class _Timed(NamedTuple, Generic[Value]):
    value: Value
    expires: float


class CallerCache(Generic[Key, Value]):
    """LRU cache with a part for each caller; safe to use from several threads.

    Beyond ``max_entries`` a caller evicts its own oldest entry. Beyond ``max_total`` the caller
    with the most entries loses its oldest one, so that many entries of one caller never evict the
    few of another.
    """

    def __init__(
        self,
        max_entries: int,
        *,
        max_total: int | None = None,
        ttl_seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._max_total = _FULL_CALLERS * max_entries if max_total is None else max_total
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._parts: dict[CallerScope, OrderedDict[Key, _Timed[Value]]] = {}
        self._total = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of entries of all callers."""
        return self._total

    def get(self, key: Key) -> Value | None:
        """Return the caller's own value, or None if it is missing or expired."""
        with self._lock:
            part = self._parts.get(current_scope())
            found = None if part is None else part.get(key)
            if part is None or found is None or self._clock() >= found.expires:
                return None
            part.move_to_end(key)
            return found.value

    def set(self, key: Key, value: Value, *, ttl_seconds: float | None = None) -> None:
        """Remember a value for the caller; ``ttl_seconds`` replaces that of the cache."""
        ttl = self._ttl_seconds if ttl_seconds is None else ttl_seconds
        with self._lock:
            scope = current_scope()
            part = self._parts.setdefault(scope, OrderedDict())
            self._total += key not in part
            part[key] = _Timed(value, self._clock() + ttl)
            part.move_to_end(key)
            if len(part) > self._max_entries:
                self._evict(scope)
            while self._total > self._max_total:
                self._evict(max(self._parts, key=lambda each: len(self._parts[each])))

    def _evict(self, scope: CallerScope) -> None:
        part = self._parts[scope]
        part.popitem(last=False)
        self._total -= 1
        if not part:
            del self._parts[scope]


@dataclass(slots=True)
class _Loading(Generic[Value]):
    loaded: list[Value] = field(default_factory=list)
    expires: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TtlCache(Generic[Key, Value]):
    """Async TTL cache that loads each value of a caller once.

    When a value expires, the first call loads it again and the others get the old value. Calls for
    a missing value wait for one load. Calls of different callers never wait for each other. The
    limits are those of `CallerCache`.
    """

    def __init__(self, max_entries: int, *, max_total: int | None = None) -> None:
        self._entries: CallerCache[Key, _Loading[Value]] = CallerCache(
            max_entries, max_total=max_total
        )

    def __len__(self) -> int:
        """Return the number of entries of all callers."""
        return len(self._entries)

    async def get(self, key: Key, load: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        """Return the cached value or load it once, with its TTL in seconds."""
        entry = self._entries.get(key)
        if entry is None:
            entry = _Loading()
            self._entries.set(key, entry)
        if entry.loaded and (entry.lock.locked() or time.monotonic() < entry.expires):
            return entry.loaded[0]
        async with entry.lock:
            if not entry.loaded or time.monotonic() >= entry.expires:
                value, ttl_seconds = await load()
                entry.loaded[:] = [value]
                entry.expires = time.monotonic() + ttl_seconds
                self._entries.set(key, entry)  # other calls may have evicted it meanwhile
            return entry.loaded[0]
