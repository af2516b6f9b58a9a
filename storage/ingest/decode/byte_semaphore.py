"""How much of the files may be in memory."""

from __future__ import annotations

import asyncio


class Budget:
    """Bytes of files that may be in memory; one larger than all of it may be there alone."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = asyncio.Condition()

    async def take(self, count: int) -> None:
        """Wait until there is room for ``count`` bytes."""
        if count == 0:
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._left >= min(count, self._size))
            self._left -= count

    async def give(self, count: int) -> None:
        """They are needed no more."""
        if count == 0:
            return
        async with self._changed:
            self._left += count
            self._changed.notify_all()
