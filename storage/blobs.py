"""Bytes by their content: files named by their SHA-256 below the data folder.

A location says where bytes are: ``object:<sha256 in hexadecimal>`` for those kept here,
``file:/absolute/path`` for a file that stays where its owner put it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sightline.storage.errors import MediaError, StorageError, shown

_OBJECT = "object:"
_FILE = "file:"
_HEX = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 2 * 1024**3
_UNFINISHED_SECONDS = 3600


class ObjectStore:
    """The store of one data folder. Safe to use from any number of threads and processes."""

    def __init__(self, data_dir: Path) -> None:
        """Makes nothing yet: the first ``put`` makes the folder."""
        self._root = data_dir.absolute() / "objects"

    def put(self, content: bytes) -> str:
        """Stores bytes and returns their location; does nothing where they are stored already.

        Written under another name first: whatever happens, no half of a file has a final name.
        """
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if path.exists():
            return _OBJECT + name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, unfinished = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(unfinished).replace(path)
            except BaseException:
                Path(unfinished).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StorageError(
                f"{len(content):,} bytes could not be stored in the data folder: {error.strerror}"
            ) from error
        return _OBJECT + name

    def exists(self, location: str) -> bool:
        """Whether the bytes of a location are there; ``file:`` locations are looked at too."""
        return self._resolve(location).is_file()

    def read(
        self, location: str, sha256: bytes, *, name: str, max_bytes: int = _MOST_BYTES
    ) -> bytes:
        """The bytes of a location, checked to be the ones that were ingested.

        ``name`` is what errors call them: the source as it was given, for clients read them.
        Raises MediaError: ``missing``, ``unreadable``, ``too_large`` or ``changed``.
        """
        path = self._resolve(location)
        content = _read_regular(path, name, max_bytes)
        if hashlib.sha256(content).digest() != sha256:
            raise MediaError(
                "changed",
                f"{name} is not the file that was ingested any more; put it back, or ingest it "
                "again",
            )
        return content

    def discard(self, locations: Iterable[str]) -> int:
        """Removes stored objects and returns how many there were. Files of others stay."""
        removed = 0
        for location in locations:
            if not location.startswith(_OBJECT):
                continue
            try:
                self._resolve(location).unlink()
            except FileNotFoundError:
                continue
            removed += 1
        return removed

    def stored(self) -> Iterator[str]:
        """The locations of all stored objects."""
        for path in self._root.glob("??/*"):
            name = path.parent.name + path.name
            if _HEX.fullmatch(name):
                yield _OBJECT + name

    def unfinished(self) -> Iterator[Path]:
        """Files that a killed process was writing; nobody writes one for an hour."""
        oldest = time.time() - _UNFINISHED_SECONDS
        for path in self._root.glob("??/*.tmp"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    yield path

    def discard_unfinished(self) -> int:
        """Removes those, and returns how many there were."""
        removed = 0
        for path in self.unfinished():
            path.unlink(missing_ok=True)
            removed += 1
        return removed

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name[2:]

    def _resolve(self, location: str) -> Path:
        if location.startswith(_OBJECT) and _HEX.fullmatch(location, len(_OBJECT)):
            return self._path(location.removeprefix(_OBJECT))
        path = Path(location.removeprefix(_FILE))
        if location.startswith(_FILE) and path.is_absolute():
            return path
        raise StorageError(
            f"{shown(location)} is not a location; one is 'file:/absolute/path' or "
            "'object:<sha256>'"
        )


def _read_regular(path: Path, name: str, max_bytes: int) -> bytes:
    """The content of a regular file: not of a pipe, which would never end, nor of a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise MediaError("unreadable", f"{name} is not a file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(
            "missing", f"{name} is not there any more; put it back, or ingest it again"
        ) from error
    except OSError as error:
        raise MediaError("unreadable", f"{name} cannot be read: {error.strerror}") from error
    if len(content) > max_bytes:
        raise MediaError(
            "too_large", f"{name} has {status.st_size:,} bytes; the limit is {max_bytes:,}"
        )
    return content
