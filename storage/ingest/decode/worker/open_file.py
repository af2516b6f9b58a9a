"""Open one file, whatever it turns out to be."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from sightline.storage.errors import MediaError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is still the one that was hashed."""

    size: int
    modified_ns: int
    inode: int


def open_file(path: str, max_bytes: int) -> tuple[int, Stamp]:
    """A descriptor of a regular file and its stamp; the caller closes it.

    ``path`` is already resolved: a link in its last place has appeared since and is refused.
    Raises MediaError ``unreadable``, ``not_a_file``, ``empty`` or ``too_large``.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise MediaError("unreadable", f"cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("not_a_file", "is not a regular file")
        if status.st_size > max_bytes:
            raise MediaError(
                "too_large", f"has {status.st_size:,} bytes; the limit is {max_bytes:,}"
            )
        if status.st_size == 0:
            raise MediaError("empty", "has no bytes")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, stamp_of(descriptor)


def stamp_of(descriptor: int) -> Stamp:
    """The stamp of an open file as it is now."""
    status = os.fstat(descriptor)
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def hash_file(path: str, max_bytes: int) -> tuple[bytes, Stamp]:
    """SHA-256 of a file's bytes (32 bytes) and its stamp. Raises MediaError as `open_file`."""
    descriptor, stamp = open_file(path, max_bytes)
    digest = hashlib.sha256()
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise MediaError("unreadable", f"cannot be read: {error.strerror}") from error
    return digest.digest(), stamp


def read_file(path: str, max_bytes: int) -> tuple[bytes, Stamp]:
    """A file's bytes and its stamp. Raises MediaError as `open_file`."""
    descriptor, stamp = open_file(path, max_bytes)
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            data = file.read(max_bytes + 1)
            while len(data) <= max_bytes and (more := file.read(max_bytes + 1 - len(data))):
                data += more
    except OSError as error:
        raise MediaError("unreadable", f"cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise MediaError("too_large", f"grew past the limit of {max_bytes:,} bytes")
    return data, stamp
