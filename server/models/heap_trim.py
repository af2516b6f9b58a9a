"""Free memory goes back to the system.

Batches of many sizes leave holes of many sizes in the C library's heap: the process of a long
ingest, or of a busy server, held three times what its model needs.
"""

from __future__ import annotations

import ctypes
import sys

_EVERY_ITEMS = 1024


class Thrift:
    """Counts what went through a model on the CPU, and tidies the heap now and then.

    Tidying takes some milliseconds. It does nothing where the C library is not glibc.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._trim = getattr(library, "malloc_trim", None)
        self._items = 0

    def count(self, items: int) -> None:
        """So many more items went through."""
        self._items += items
        if self._items >= _EVERY_ITEMS:
            self._items = 0
            if self._trim is not None:
                self._trim(0)
