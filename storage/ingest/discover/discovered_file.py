"""One thing to ingest, as discovery hands it on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.sidecars import Sidecar


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes to ingest under a name, where a path would do otherwise, and what is said of them."""

    name: str
    data: bytes
    sidecar: Sidecar | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """Bytes to ingest that ``load`` fetches in the thread that calls it, or raises MediaError."""

    name: str
    load: Callable[[], bytes]


@dataclass(slots=True)
class Found:
    """A file, an archive's member or an upload; or why it is none.

    ``name`` is as the user gave it. ``path`` is resolved and absolute; ``load`` gives the bytes
    of what has no path of its own and may raise MediaError.
    """

    name: str
    path: str | None = None
    load: Callable[[], bytes] | None = None
    sidecar: Sidecar | None = None
    failure: MediaError | None = None
    place: str = ""
    """Where it stands, for telling failures without readable bytes apart."""

    data: bytes | None = field(default=None, repr=False)
    """The bytes, once loaded."""

    @property
    def place_location(self) -> str:
        """Where to say that it failed: ``file:`` and a path, though perhaps of no file."""
        place = self.place or self.path or self.name
        return printable(f"file:{place}" if place.startswith("/") else place)

    @property
    def place_key(self) -> bytes:
        """Stands in for the SHA-256 of bytes that could not be read."""
        place = self.place or self.path or self.name
        return hashlib.sha256(b"path:" + os.fsencode(place)).digest()


def printable(path: str) -> str:
    r"""A path for people: bytes that are not UTF-8 as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    """Whether a path can be written down."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
