"""Open files of strangers without following links, and create private files.

A path is checked first and opened later. In between, somebody who may write to a folder can replace
a part of the path by a link. So every part is opened relative to the descriptor of the part before,
and none may be a link: what is opened is where the checked path says.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PRIVATE = 0o600

# O_PATH needs the right to enter a folder only, not the right to list it (Linux only).
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe waits for a writer forever.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


class SpecialFileError(OSError):
    """A path leads to a device, pipe, socket or link, which is never opened."""


def open_real(path: str | Path) -> int:
    """Open a file or folder for reading by its absolute real path.

    Returns a descriptor, which the caller closes. Resolve links before: no part may be a link when
    it is opened. Raises SpecialFileError, PermissionError for a path that is relative or contains
    ``..``, and other OSErrors.
    """
    target = os.fspath(path)
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if not target.startswith("/") or ".." in parts:
        raise PermissionError(errno.EACCES, "is not an absolute path without ..", target)
    folder = os.open("/", _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        name = parts[-1] if parts else "."
        # Before it is opened, because opening a device can have an effect.
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise SpecialFileError(errno.ENXIO, "is not a regular file or folder", name)
        return os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def private_opener(path: str | Path, flags: int) -> int:
    """Open a file for its owner only, whatever the umask is: an ``opener`` for `open`.

    A file of ours that exists loses the rights of others.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, _PRIVATE)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        os.fchmod(descriptor, _PRIVATE)
    return descriptor


def create_private(path: str | Path) -> BinaryIO:
    """Create a file that only its owner can open. Raises FileExistsError and OSError."""
    return open(path, "xb", opener=private_opener)


@contextmanager
def replace_private(path: Path) -> Iterator[BinaryIO]:
    """Write a private file beside ``path``, which it replaces if the block succeeds.

    So a file that exists keeps neither its content nor its mode. A link is followed. Raises
    SpecialFileError for a device or folder, and other OSErrors.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise SpecialFileError(errno.ENXIO, "is not a regular file", str(path))
    # In a container a process often gets the id of the one that was killed and left its file.
    unique = f"{os.getpid()}.{secrets.token_hex(4)}"
    partial = target.with_name(f".{target.name}.{unique}.partial")
    try:
        with create_private(partial) as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_private(path: Path, content: str | bytes) -> None:
    """Write a whole private file, text in UTF-8. See `replace_private`."""
    with replace_private(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
