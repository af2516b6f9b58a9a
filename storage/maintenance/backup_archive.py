"""Backup file: a database dump, all stored blobs and files of users.

A tar of ``manifest.json``, ``database.dump`` (custom format of pg_dump), ``objects/<sha256>`` and
``originals/<sha256>``, which are optional. Restore checks the SHA-256 of every member, and stores
the originals as blobs. Roles and passwords are not included.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, BinaryIO

from psycopg.rows import scalar_row

from sightline.storage.blobs import BlobStore
from sightline.storage.db.connect import connect
from sightline.storage.db.queries import load_sql
from sightline.storage.db.schema_safety import EXTENSION_SCHEMA, extension_schema_sync
from sightline.storage.errors import ConfigurationError, MediaError, StorageError
from sightline.storage.files import create_private
from sightline.storage.maintenance import original_files
from sightline.storage.maintenance.original_files import OriginalFile
from sightline.storage.postgres import dumps
from sightline.storage.records.deletion import hold_blobs_sync

_FORMAT = 1
_SCHEMAS = ("sightline", "analytics")

_CHECKS = load_sql("check")
_ORIGINAL_MEMBER = re.compile(r"originals/([0-9a-f]{64})")
_BLOB_MEMBER = re.compile(r"objects/([0-9a-f]{64})")
_MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of a backup: schema ``revision``, major version of ``postgres``.

    The dump names the types of pgvector with their schema, ``extension_schema``. Users have
    ``outside`` files in ``outside_folder`` that the backup does not contain.
    """

    format: int
    sightline: str
    revision: str
    postgres: int
    extension_schema: str
    dump_sha256: str
    objects: int
    originals: int
    outside: int
    outside_folder: str | None


@dataclass(frozen=True, slots=True)
class ExtractedBackup:
    """The dump, and the SHA-256 of the originals that are stored now."""

    dump: Path
    originals: Sequence[str]


def write(
    dsn: str,
    blobs: BlobStore,
    file: Path,
    *,
    version: str,
    revision: str,
    with_originals: bool = False,
) -> Manifest:
    """Write a complete backup file.

    ``with_originals`` includes the files of users, except for those that are missing or have
    changed. Reading and adding can go on; the deletion of blobs waits. Raises StorageError, also
    for too little space, and for missing blobs (``sightline check`` lists them).
    """
    with (
        tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.absolute().parent) as folder,
        connect(dsn) as connection,
    ):
        hold_blobs_sync(connection)
        cursor = connection.cursor(row_factory=scalar_row).execute(_CHECKS["locations"])
        stored = sorted(location for location in cursor if location.startswith("object:"))
        listed = original_files.list_originals(connection)
        included = original_files.unchanged(blobs, listed) if with_originals else {}
        contents = {each.sha256 for each in included}
        outside = [each for each in listed if each.sha256 not in contents]
        blob_bytes = sum(map(blobs.stored_bytes, filter(blobs.exists, stored)))
        database_bytes = original_files.database_bytes(connection)
        require_space(Path(folder), database_bytes + blob_bytes + sum(included.values()))
        dump = Path(folder) / "database.dump"
        create_private(dump).close()  # pg_dump keeps the mode of a file that exists
        dumps.dump(dsn, _SCHEMAS, dump)
        manifest = Manifest(
            format=_FORMAT,
            sightline=version,
            revision=revision,
            postgres=dumps.server_major_version(dsn),
            extension_schema=extension_schema_sync(connection) or EXTENSION_SCHEMA,
            dump_sha256=_sha256(dump),
            objects=len(stored),
            originals=len(included),
            outside=len({each.location for each in outside}),
            outside_folder=original_files.common_folder(outside),
        )
        partial = Path(folder) / "backup.tar"
        with create_private(partial) as out, tarfile.open(fileobj=out, mode="w") as archive:
            text = json.dumps(asdict(manifest), indent=2)
            _add(archive, "manifest.json", io.BytesIO(text.encode()))
            with dump.open("rb") as file_of_dump:
                _add(archive, "database.dump", file_of_dump)
            for location in stored:
                name = location.removeprefix("object:")
                try:
                    content = blobs.read(location, bytes.fromhex(name), name=location)
                except MediaError as error:
                    raise StorageError(f"The backup was not written: {error}") from error
                _add(archive, f"objects/{name}", io.BytesIO(content))
            for original, size in included.items():
                _add_original(archive, blobs, original, size)
            archive.close()
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    return manifest


@contextmanager
def open_backup(file: Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """Open a backup and its manifest. Raises ConfigurationError if it is not a backup."""
    try:
        with tarfile.open(file, "r:") as archive:
            first = archive.next()
            if first is None or first.name != "manifest.json" or first.size > _MAX_MANIFEST_BYTES:
                raise ValueError("its first member is not the manifest")
            manifest = Manifest(**json.loads(_open_member(archive, first).read()))
            if manifest.format != _FORMAT:
                raise ConfigurationError(
                    f"{file} has format {manifest.format}; this version of Sightline reads format "
                    f"{_FORMAT}. Use the version that wrote it: {manifest.sightline}."
                )
            yield manifest, archive
    except (tarfile.TarError, EOFError, ValueError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not a complete Sightline backup: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def require_space(folder: Path, needed: int) -> None:
    """Raise StorageError if the disk of a folder has less free space."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"About {needed:,} bytes are needed, but only {free:,} bytes are free in {folder}. "
            "Nothing was changed."
        )


def extract(
    manifest: Manifest, archive: tarfile.TarFile, blobs: BlobStore, folder: Path
) -> ExtractedBackup:
    """Extract blobs and originals into the store, and the dump into ``folder``.

    Checks everything. Raises StorageError, and ValueError and tarfile.TarError, which
    ``open_backup`` converts; then at most unreferenced blobs remain.
    """
    dump = folder / "database.dump"
    blob_count = 0
    originals: list[str] = []
    while (member := archive.next()) is not None:
        match = _BLOB_MEMBER.fullmatch(member.name)
        if match is not None and member.isreg():
            content = _open_member(archive, member).read()
            if hashlib.sha256(content).hexdigest() != match[1]:
                raise ValueError(f"{member.name} is damaged")
            blobs.put(content)
            blob_count += 1
        elif (match := _ORIGINAL_MEMBER.fullmatch(member.name)) is not None and member.isreg():
            blobs.put_stream(_open_member(archive, member), match[1], member.size)
            originals.append(match[1])
        elif member.name == "database.dump" and member.isreg():
            with create_private(dump) as out:
                shutil.copyfileobj(_open_member(archive, member), out)
        else:
            raise ValueError(f"{member.name!r} is unexpected")
    if blob_count != manifest.objects:
        raise ValueError(f"it contains {blob_count} of {manifest.objects} stored files")
    if len(originals) != manifest.originals:
        raise ValueError(f"it contains {len(originals)} of {manifest.originals} files of users")
    if not dump.exists() or _sha256(dump) != manifest.dump_sha256:
        raise ValueError("its database dump is missing or damaged")
    return ExtractedBackup(dump, originals)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, file: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, os.SEEK_END)
    file.seek(0)
    archive.addfile(member, file)


def _add_original(
    archive: tarfile.TarFile, blobs: BlobStore, original: OriginalFile, size: int
) -> None:
    """Add a file of a user. Raises StorageError if it changes meanwhile."""
    member = tarfile.TarInfo(f"originals/{original.sha256}")
    member.size = size
    try:
        with blobs.open_user_file(original.location) as (file, _):
            reader = _HashingReader(file)
            archive.addfile(member, reader)
    except OSError as error:
        raise StorageError(f"The backup was not written: {original.location}: {error}") from error
    if reader.hexdigest() != original.sha256:
        raise StorageError(
            f"The backup was not written: {original.location} changed meanwhile. Try again."
        )


class _HashingReader:
    """Computes the SHA-256 of what is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        content = self._file.read(size)
        self._digest.update(content)
        return content

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _open_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Open a file of the archive.

    A sparse one may be much larger than the archive, which would fill the memory or the disk.
    """
    file = archive.extractfile(member)
    if file is None or member.issparse():
        raise ValueError(f"{member.name} is not a file")
    return file
