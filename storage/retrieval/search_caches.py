"""Caches that the searches of a process share, and the single-flight TTL cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from cachetools import TTLCache

from sightline.storage.interfaces import Vectors

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_TTL_SECONDS = 60.0


class VectorSample(NamedTuple):
    """Random unit vectors (float32, shape (n, dimension)) of ``population`` vectors."""

    vectors: Vectors
    population: int


@dataclass(slots=True)
class _Entry(Generic[Value]):
    loaded: list[Value] = field(default_factory=list)
    expires: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TtlCache(Generic[Key, Value]):
    """Async TTL cache that loads each value once and serves stale values meanwhile.

    When a value expires, the first caller loads it again and the others get the old value. Callers
    of a missing value wait for one load. Beyond ``max_entries`` the oldest values are evicted.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: dict[Key, _Entry[Value]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: Key, load: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        """Return the cached value or load it once, with its TTL in seconds."""
        entry = self._entries.get(key) or self._entries.setdefault(key, _Entry())
        if entry.loaded and (entry.lock.locked() or time.monotonic() < entry.expires):
            return entry.loaded[0]
        async with entry.lock:
            if not entry.loaded or time.monotonic() >= entry.expires:
                value, ttl_seconds = await load()
                entry.loaded[:] = [value]
                entry.expires = time.monotonic() + ttl_seconds
                self._entries.pop(key, None)
                self._entries[key] = entry
                while len(self._entries) > self._max_entries:
                    del self._entries[next(iter(self._entries))]
            return entry.loaded[0]


@dataclass(frozen=True, slots=True)
class SearchCaches:
    """All caches of the searches; create one for each process."""

    metadata_types: TTLCache[tuple[int, ...], dict[str, frozenset[str]]] = field(
        default_factory=lambda: TTLCache(1024, _TTL_SECONDS)
    )
    """JSON types of metadata keys, by collection ids."""
    wide_scopes: TTLCache[str, bool] = field(default_factory=lambda: TTLCache(1000, _TTL_SECONDS))
    """Fingerprints of scopes that match too many rows for an exact scan."""
    term_counts: TTLCache[str, int] = field(default_factory=lambda: TTLCache(50_000, _TTL_SECONDS))
    """Number of passages that contain a term."""
    passage_statistics: TtlCache[tuple[int, ...] | None, tuple[int, float]] = field(
        default_factory=lambda: TtlCache(1024)
    )
    """Number of passages and their mean length, by collection ids (None: all collections)."""
    vector_samples: TtlCache[tuple[int, tuple[int, ...]], VectorSample] = field(
        default_factory=lambda: TtlCache(64)  # a megabyte or two each
    )
    """Samples for null distributions, by space id and collection ids."""
    encoder_reliability: TtlCache[tuple[int, int], float | None] = field(
        default_factory=lambda: TtlCache(1024)
    )
    """Reliability 0 to 1, by space id and collection id."""
