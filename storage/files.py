"""Open files of strangers without following links, and create private files.

A path is checked first and opened later. In between, somebody who may write to a folder can replace
a part of the path by a link. So every part is opened relative to the descriptor of the part before,
and none may be a link: what is opened is where the checked path says. A file that is written may
lie behind a link, but not behind one that another account has put into a shared folder.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

_PRIVATE = 0o600
#: Links in one path, as on Linux.
_MAX_LINKS = 40

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
    with _open_folder(parts[:-1]) as folder:
        name = parts[-1] if parts else "."
        # Before it is opened, because opening a device can have an effect.
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise SpecialFileError(errno.ENXIO, "is not a regular file or folder", name)
        return os.open(name, _FILE, dir_fd=folder)


@contextmanager
def _open_folder(parts: Iterable[str]) -> Iterator[int]:
    """Open a folder by the parts of its real path, each relative to the one before."""
    folder = os.open("/", _FOLDER)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def private_opener(path: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
    """Open a file for its owner only, whatever the umask is: an ``opener`` for `open`.

    A file of ours that exists loses the rights of others.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, _PRIVATE, dir_fd=dir_fd)
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
    SpecialFileError for a device, a folder, or a link of another account in a shared folder, and
    other OSErrors.
    """
    target = _follow_own_links(path)
    # In a container a process often gets the id of the one that was killed and left its file.
    unfinished = f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.partial"
    with _open_folder(target.parts[1:-1]) as folder:
        with suppress(FileNotFoundError):
            mode = os.stat(target.name, dir_fd=folder, follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode):
                raise SpecialFileError(errno.ENXIO, "is not a regular file", str(path))

        try:
            opener = partial(private_opener, dir_fd=folder)
            with open(unfinished, "xb", opener=opener) as file:
                yield file
            os.replace(unfinished, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(unfinished, dir_fd=folder)


def _follow_own_links(path: Path) -> Path:
    """Return the real path. Raises SpecialFileError for a planted link.

    In a folder such as ``/tmp``, everybody can put a link where this account will write. So a link
    there must be one of this account, of root or of the owner of the folder, as in Linux with
    ``fs.protected_symlinks``.
    """
    real, links = Path("/"), 0
    waiting = [*reversed(path.absolute().parts[1:])]
    while waiting:
        part = waiting.pop()
        if part == "..":
            real = real.parent
            continue
        inner = real / part
        status = inner.lstat() if os.path.lexists(inner) else None
        if status is None or not stat.S_ISLNK(status.st_mode):
            real = inner
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        folder = real.stat()
        is_shared = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if is_shared and status.st_uid not in (0, os.geteuid(), folder.st_uid):
            raise SpecialFileError(errno.EPERM, "is a link of another account", str(inner))
        goal = inner.readlink()
        real = Path("/") if goal.is_absolute() else real
        waiting += reversed(goal.parts[1:] if goal.is_absolute() else goal.parts)
    return real


def write_private(path: Path, content: str | bytes) -> None:
    """Write a whole private file, text in UTF-8. See `replace_private`."""
    with replace_private(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
