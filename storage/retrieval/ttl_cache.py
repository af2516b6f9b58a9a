"""Values that are slow to learn and may be old: kept a while, learnt by one caller at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Entry(Generic[Value]):
    learnt: list[Value] = field(default_factory=list)
    until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Kept(Generic[Key, Value]):
    """A memory of at most ``most`` values; those that were learnt first are forgotten first.

    When a value is too old, the first who asks learns it again and the others get the old one, so
    that sixty searches at once read what one would. Where there is none yet, they wait for it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[Key, _Entry[Value]] = {}

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._entries)

    async def get(self, key: Key, learn: Callable[[], Awaitable[tuple[Value, float]]]) -> Value:
        """The value; ``learn`` gives it and for how many seconds it may be kept."""
        entry = self._entries.get(key) or self._entries.setdefault(key, _Entry())
        if entry.learnt and (entry.lock.locked() or time.monotonic() < entry.until):
            return entry.learnt[0]
        async with entry.lock:
            if not entry.learnt or time.monotonic() >= entry.until:
                value, seconds = await learn()
                entry.learnt[:] = [value]
                entry.until = time.monotonic() + seconds
                self._entries.pop(key, None)
                self._entries[key] = entry
                while len(self._entries) > self._most:
                    del self._entries[next(iter(self._entries))]
            return entry.learnt[0]
