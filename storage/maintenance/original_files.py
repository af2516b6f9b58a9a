"""The files of users outside of the data folder, to which rows refer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psycopg
from psycopg.rows import TupleRow

from sightline.storage.blobs import BlobStore
from sightline.storage.db.queries import load_sql

_SQL = load_sql("backup")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """A file with the SHA-256 in hexadecimal that its bytes had at the ingest."""

    location: str
    sha256: str


def list_originals(connection: psycopg.Connection[TupleRow]) -> list[OriginalFile]:
    """Return all files of users; a file that has changed occurs once for each content."""
    rows = connection.execute(_SQL["originals"])
    return [OriginalFile(location, sha256.hex()) for location, sha256 in rows]


def unchanged(blobs: BlobStore, originals: Iterable[OriginalFile]) -> dict[OriginalFile, int]:
    """Return one file for each content, with its size. Reads all files.

    Leaves out files that are missing, unreadable or changed since the ingest.
    """
    found: dict[str, tuple[OriginalFile, int]] = {}
    for original in originals:
        if original.sha256 in found:
            continue
        try:
            with blobs.open_user_file(original.location) as (file, size):
                if _sha256(file) == original.sha256:
                    found[original.sha256] = (original, size)
        except OSError:
            continue
    return dict(found.values())


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def common_folder(originals: Sequence[OriginalFile]) -> str | None:
    """Return the innermost folder of all files, or None without files."""
    if not originals:
        return None
    return os.path.commonpath(
        [Path(each.location.removeprefix("file:")).parent for each in originals]
    )


def database_bytes(connection: psycopg.Connection[TupleRow]) -> int:
    """Return the size of the database, which is more than that of its dump."""
    row = connection.execute(_SQL["database_bytes"]).fetchone()
    return 0 if row is None else int(row[0])


def use_stored(connection: psycopg.Connection[TupleRow], hashes: Iterable[str]) -> None:
    """Let all rows with these contents refer to the blob store instead of files."""
    params = {"hashes": [bytes.fromhex(each) for each in hashes]}
    connection.execute(_SQL["use_stored"], params)
