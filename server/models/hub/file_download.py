"""Downloads one file: continues a partial one, and verifies size and hash."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from sightline.server.models.hub.hub_client import HubClient, HubFile, HubRevision, changed_file
from sightline.server.models.store.model_record import FileRecord
from sightline.storage.files import create_private, private_opener

#: Attempts without a single new byte, after which the download stops.
_MAX_USELESS_ATTEMPTS: Final = 3
_CHUNK_BYTES: Final = 1 << 20
_PARTIAL: Final = ".partial"

Advance = Callable[[int], None]
"""Receives the number of new bytes."""


class _Content:
    """Hashes of a file that grows: SHA-256, and the SHA-1 of a git blob."""

    def __init__(self, file: HubFile) -> None:
        self._file = file
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self._sha256.update(data)
        if self._file.sha256 is None:
            self._sha1.update(data)

    @property
    def is_correct(self) -> bool:
        if self.size != self._file.size:
            return False
        if self._file.sha256 is not None:
            return self._sha256.hexdigest() == self._file.sha256
        return self._sha1.hexdigest() == self._file.git_sha1

    @property
    def record(self) -> FileRecord:
        return FileRecord(size=self.size, sha256=self._sha256.hexdigest())


def download_file(
    client: HubClient, revision: HubRevision, file: HubFile, target: Path, advance: Advance
) -> FileRecord:
    """Download a file to ``target`` unless it is there; return its size and hash.

    An interrupted download leaves ``target.partial``, from which the next one continues. Raises
    ConfigurationError for a file with another hash, which is deleted, and ModelUnavailableError if
    the hub cannot be reached.
    """
    if target.is_file():
        content = _read(target, file)
        if content.is_correct:
            advance(content.size)
            return content.record
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(target.name + _PARTIAL)
    was_there = partial.is_file()
    content = _complete(client, revision, file, partial, advance)
    if was_there and not content.is_correct:
        # The part of the last time may be the damaged one.
        partial.unlink()
        advance(-content.size)
        content = _complete(client, revision, file, partial, advance)
    if not content.is_correct:
        partial.unlink()
        raise changed_file(file.path)
    partial.replace(target)
    return content.record


def _complete(
    client: HubClient, revision: HubRevision, file: HubFile, partial: Path, advance: Advance
) -> _Content:
    """Download until the partial file has the whole size."""
    with suppress(FileExistsError):
        create_private(partial).close()
    content = _read(partial, file)
    advance(content.size)
    useless = 0
    while content.size < file.size:
        before = content.size
        try:
            content = _continue(client, revision, file, partial, content, advance)
        except httpx.HTTPError as error:
            content = _read(partial, file)
            useless = 0 if content.size > before else useless + 1
            if useless >= _MAX_USELESS_ATTEMPTS:
                raise client.unreachable(error) from error
    return content


def _continue(
    client: HubClient,
    revision: HubRevision,
    file: HubFile,
    partial: Path,
    content: _Content,
    advance: Advance,
) -> _Content:
    """Append what is missing. A hub that ignores the range sends the whole file again."""
    with client.open(revision, file, content.size) as response:
        continues = response.status_code == httpx.codes.PARTIAL_CONTENT
        if continues and _start(response) != content.size:
            raise changed_file(file.path)
        if not continues:
            advance(-content.size)
            content = _Content(file)
        with open(partial, "ab" if continues else "wb", opener=private_opener) as out:
            for data in response.iter_bytes():
                out.write(data)
                content.add(data)
                advance(len(data))
                if content.size > file.size:
                    break
            out.flush()
            os.fsync(out.fileno())
    if content.size < file.size:
        raise httpx.ReadError(f"{file.path} ended after {content.size:,} bytes")
    return content


def _start(response: httpx.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return None if match is None else int(match[1])


def _read(path: Path, file: HubFile) -> _Content:
    content = _Content(file)
    with path.open("rb") as stored:
        while data := stored.read(_CHUNK_BYTES):
            content.add(data)
    return content
