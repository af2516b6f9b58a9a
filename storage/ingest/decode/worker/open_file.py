"""Open, hash and read files that nobody vouches for."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

from sightline.storage.errors import MediaError
from sightline.storage.files import SpecialFileError, open_real


class FileStamp(NamedTuple):
    """Identifies the state of a file: if it differs, the file must be hashed again."""

    size: int
    modified_ns: int
    inode: int


def open_file(path: str, max_bytes: int) -> tuple[int, FileStamp]:
    """Open a regular file and return its descriptor and stamp.

    The caller closes the descriptor. ``path`` is absolute and real: links are resolved before, and
    no part of it may be one now. Raises MediaError ``unreadable``, ``not_a_file``, ``empty`` or
    ``too_large``.
    """
    try:
        descriptor = open_real(path)
    except SpecialFileError as error:
        raise MediaError("not_a_file", "is not a regular file") from error
    except OSError as error:
        raise MediaError("unreadable", f"cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("not_a_file", "is not a regular file")
        if status.st_size > max_bytes:
            reason = f"has {status.st_size:,} bytes; the limit is {max_bytes:,}"
            raise MediaError("too_large", reason)
        if status.st_size == 0:
            raise MediaError("empty", "has no bytes")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, stamp_of(descriptor)


def stamp_of(descriptor: int) -> FileStamp:
    status = os.fstat(descriptor)
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino)


def hash_file(path: str, max_bytes: int) -> tuple[bytes, FileStamp]:
    """Return the SHA-256 of a file and its stamp. Raises MediaError like `open_file`."""
    descriptor, stamp = open_file(path, max_bytes)
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest(), stamp
    except OSError as error:
        raise MediaError("unreadable", f"cannot be read: {error.strerror}") from error


def read_file(path: str, max_bytes: int) -> tuple[bytes, FileStamp]:
    """Return the bytes of a file and its stamp. Raises MediaError like `open_file`."""
    descriptor, stamp = open_file(path, max_bytes)
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise MediaError("unreadable", f"cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise MediaError("too_large", f"grew above the limit of {max_bytes:,} bytes")
    return data, stamp
