"""Content-addressed blob store: files named by their SHA-256 in the data folder.

A location says where bytes are: ``object:<sha256 in hexadecimal>`` for a stored blob,
``file:/absolute/path`` for a user's file, which stays where it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event, Lock
from typing import IO, BinaryIO, NamedTuple

from sightline.storage.errors import MediaError, StorageError, shown
from sightline.storage.files import SpecialFileError, open_real

_BLOB = "object:"
_FILE = "file:"
_HEX = re.compile(r"[0-9a-f]{64}")
MAX_BLOB_BYTES = 2 * 1024**3
_BLOCK_BYTES = 1 << 20
# A temporary file older than this was left by a killed process.
_PARTIAL_FILE_SECONDS = 3600


class FileState(NamedTuple):
    """State of an open file. It differs if the content may have changed."""

    size: int
    modified_ns: int
    changed_ns: int
    device: int
    inode: int


class OpenFile:
    """An open blob or user file, read in parts. Close it. Threads may share it."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        # A descriptor that is closed during a read could already belong to another file.
        self._lock = Lock()

    def state(self) -> FileState:
        status = os.fstat(self._file.fileno())
        return FileState(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
        )

    def read(self, offset: int, size: int, state: FileState) -> bytes:
        """Return the bytes at an offset. Raises MediaError if the state has changed."""
        with self._lock:
            try:
                content = os.pread(self._file.fileno(), size, offset)
            except (OSError, ValueError) as error:  # ValueError: it was closed
                raise MediaError("unreadable", f"{self.name} cannot be read: {error}.") from error
            if self.state() != state or len(content) != size:
                raise _changed(self.name)
        return content

    def close(self) -> None:
        with self._lock:
            self._file.close()


class BlobStore:
    """Blob store of one data folder. Safe for concurrent threads and processes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._root = self.data_dir / "objects"

    def put(self, content: bytes) -> str:
        """Store bytes if they are not stored yet; return their location.

        Writes to a temporary name first, so that a blob is always complete.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if not path.exists():
            with _new_file(path, len(content)) as file:
                file.write(content)
        return _BLOB + digest

    def put_stream(self, content: IO[bytes], sha256: str, size: int) -> str:
        """Store a file of any size by its hash; return its location.

        Raises ValueError, and stores nothing, if the bytes have another hash.
        """
        digest = hashlib.sha256()
        with _new_file(self._path(sha256), size) as file:
            while block := content.read(_BLOCK_BYTES):
                digest.update(block)
                file.write(block)
            if digest.hexdigest() != sha256:
                raise ValueError(f"the bytes of {sha256} are damaged")
        return _BLOB + sha256

    def exists(self, location: str) -> bool:
        """Return whether a blob or user file exists."""
        return self._resolve(location).is_file()

    def read(
        self, location: str, sha256: bytes, *, name: str, max_bytes: int = MAX_BLOB_BYTES
    ) -> bytes:
        """Return the bytes of a location after checking their SHA-256.

        Errors call the file ``name``: clients read them, so use the source name, not the path.
        Raises MediaError with code ``missing``, ``unreadable``, ``too_large`` or ``changed``.
        """
        path = self._resolve(location)
        # The data folder may be reached by a link. No part of the path of a user's file may be one:
        # links were resolved at ingest, and now only a swap can bring one.
        opener = _open_object if location.startswith(_BLOB) else open_real
        content = _read_regular(opener, path, name, max_bytes)
        if hashlib.sha256(content).digest() != sha256:
            raise _changed(name)
        return content

    def open(self, location: str, *, name: str) -> OpenFile:
        """Open a blob or user file, whose bytes are not checked; see `verify`.

        Raises MediaError with code ``missing`` or ``unreadable``.
        """
        path = self._resolve(location)
        opener = _open_object if location.startswith(_BLOB) else open_real
        return OpenFile(os.fdopen(_open_regular(opener, path, name), "rb", buffering=0), name)

    def verify(self, location: str, sha256: bytes, *, name: str, stop: Event) -> FileState:
        """Return the state of a file of any size in which its bytes have this SHA-256.

        Raises MediaError with code ``missing``, ``unreadable`` or ``changed``, and
        InterruptedError soon after ``stop`` is set.
        """
        digest, offset = hashlib.sha256(), 0
        file = self.open(location, name=name)
        try:
            state = file.state()
            while offset < state.size:
                if stop.is_set():
                    raise InterruptedError
                block = file.read(offset, min(_BLOCK_BYTES, state.size - offset), state)
                digest.update(block)
                offset += len(block)
        finally:
            file.close()
        if digest.digest() != sha256:
            raise _changed(name)
        return state

    @contextmanager
    def open_user_file(self, location: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open a user's file in the block; yield it and its size.

        Raises OSError if it is missing, or no regular file.
        """
        descriptor = open_real(self._resolve(location))
        with os.fdopen(descriptor, "rb") as file:
            yield file, os.fstat(descriptor).st_size

    def stored_bytes(self, location: str) -> int:
        """Return the size of a blob. Raises OSError."""
        return self._resolve(location).stat().st_size

    def discard(self, locations: Iterable[str]) -> int:
        """Delete stored blobs and return how many existed. User files are never deleted."""
        removed = 0
        for location in locations:
            if location.startswith(_BLOB):
                with suppress(FileNotFoundError):
                    self._resolve(location).unlink()
                    removed += 1
        return removed

    def locations(self) -> Iterator[str]:
        """Yield the locations of all stored blobs."""
        for path in self._root.glob("??/*"):
            digest = path.parent.name + path.name
            if _HEX.fullmatch(digest):
                yield _BLOB + digest

    def partial_files(self) -> Iterator[Path]:
        """Yield temporary files that a killed process left behind."""
        oldest = time.time() - _PARTIAL_FILE_SECONDS
        for path in self._root.glob("??/*.tmp"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    yield path

    def discard_partial_files(self) -> int:
        """Delete those files and return how many there were."""
        paths = list(self.partial_files())
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest[2:]

    def _resolve(self, location: str) -> Path:
        if location.startswith(_BLOB) and _HEX.fullmatch(location, len(_BLOB)):
            return self._path(location.removeprefix(_BLOB))
        path = Path(location.removeprefix(_FILE))
        if location.startswith(_FILE) and path.is_absolute():
            return path
        raise StorageError(
            f"{shown(location)} is not a location. Use 'file:/absolute/path' or 'object:<sha256>'."
        )


@contextmanager
def _new_file(path: Path, size: int) -> Iterator[IO[bytes]]:
    """Write a file in the block under a temporary name; then give it its name."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(suffix=".tmp", dir=path.parent, delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise StorageError(
            f"{size:,} bytes could not be stored in the data folder: {error.strerror}"
        ) from error


def _open_object(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _changed(name: str) -> MediaError:
    return MediaError(
        "changed", f"{name} has changed since ingest. Restore it, or ingest it again."
    )


def _open_regular(opener: Callable[[Path], int], path: Path, name: str) -> int:
    """Open a regular file. Refuse pipes, which may never end, and devices."""
    try:
        descriptor = opener(path)
    except SpecialFileError as error:
        raise MediaError("unreadable", f"{name} is not a file.") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaError(
            "missing", f"{name} no longer exists. Restore it, or ingest it again."
        ) from error
    except OSError as error:
        raise MediaError("unreadable", f"{name} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaError("unreadable", f"{name} is not a file.")
    return descriptor


def _read_regular(opener: Callable[[Path], int], path: Path, name: str, max_bytes: int) -> bytes:
    with os.fdopen(_open_regular(opener, path, name), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            # No more than it has: Python reserves the memory for all that is asked for.
            content = file.read(min(size, max_bytes) + 1)
        except OSError as error:
            raise MediaError("unreadable", f"{name} cannot be read: {error.strerror}.") from error
    if len(content) > max_bytes:
        raise MediaError("too_large", f"{name} has {size:,} bytes; the limit is {max_bytes:,}.")
    return content
