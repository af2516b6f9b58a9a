"""One file that holds all that Sightline knows: a dump of the database, and the stored objects.

A tar of ``manifest.json``, ``database.dump`` (pg_dump's custom format) and ``objects/<sha256>``.
Everything in it is checked by its SHA-256 when it is read. The users' own files, which are named
and not stored, are not in it, and neither are logins and passwords.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psycopg

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.errors import ConfigurationError, MediaError, StorageError
from sightline.storage.postgres import dumps
from sightline.storage.records.deletion import hold_blobs_sync

FORMAT = 1
SCHEMAS = ("sightline", "analytics")

_CHECKS = sql_loader.load("check")
_OBJECT = re.compile(r"objects/([0-9a-f]{64})")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. ``revision`` is of the schema, ``postgres`` a major version."""

    format: int
    sightline: str
    revision: str
    postgres: int
    dump_sha256: str
    objects: int


def write(dsn: str, objects: BlobStore, file: Path, *, version: str, revision: str) -> Manifest:
    """Write a backup; the file is there whole or not at all.

    Others may go on reading and adding; removing stored files waits until it is done.
    Raises StorageError, also where stored files are missing (``sightline check`` says which).
    """
    with (
        tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.absolute().parent) as beside,
        psycopg.connect(dsn) as connection,
    ):
        hold_blobs_sync(connection)
        dump = Path(beside) / "database.dump"
        dumps.dump(dsn, SCHEMAS, dump)
        rows = connection.execute(_CHECKS["locations"]).fetchall()
        stored = sorted(location for location, _ in rows if location.startswith("object:"))
        manifest = Manifest(
            format=FORMAT,
            sightline=version,
            revision=revision,
            postgres=dumps.server_major(dsn),
            dump_sha256=_digest(dump),
            objects=len(stored),
        )
        unfinished = Path(beside) / "backup.tar"
        with unfinished.open("xb") as out, tarfile.open(fileobj=out, mode="w") as archive:
            _add(archive, "manifest.json", json.dumps(asdict(manifest), indent=2).encode())
            archive.add(dump, "database.dump", filter=_anonymous)
            for location in stored:
                name = location.removeprefix("object:")
                try:
                    content = objects.read(location, bytes.fromhex(name), name=location)
                except MediaError as error:
                    raise StorageError(f"no backup was written: {error}") from error
                _add(archive, f"objects/{name}", content)
            archive.close()
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    return manifest


@contextmanager
def opened(file: Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """A backup and what it says of itself. Raises ConfigurationError where it is none."""
    try:
        with tarfile.open(file, "r:") as archive:
            first = archive.next()
            if first is None or first.name != "manifest.json" or first.size > _CHUNK:
                raise ValueError("its first member is no manifest")
            said = json.loads(_reader(archive, first).read())
            manifest = Manifest(**said)
            if manifest.format != FORMAT:
                raise ConfigurationError(
                    f"{file} is of format {manifest.format}, and this version of Sightline reads "
                    f"format {FORMAT}; use the version that wrote it, {manifest.sightline}"
                )
            yield manifest, archive
    except (tarfile.TarError, EOFError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{file} is no whole backup of Sightline: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def extract(manifest: Manifest, archive: tarfile.TarFile, objects: BlobStore, folder: Path) -> Path:
    """Put the objects of a backup into the store, and the dump into ``folder``; its path.

    All is checked: where anything is missing or damaged there is no dump, and at most there are
    files that nothing names. Raises StorageError, and ValueError and tarfile.TarError, which
    `opened` names.
    """
    dump = folder / "database.dump"
    found = 0
    while (member := archive.next()) is not None:
        match = _OBJECT.fullmatch(member.name)
        if match is not None and member.isreg():
            content = _reader(archive, member).read()
            if hashlib.sha256(content).hexdigest() != match[1]:
                raise ValueError(f"{member.name} is damaged")
            objects.put(content)
            found += 1
        elif member.name == "database.dump" and member.isreg():
            with dump.open("xb") as out:
                source = _reader(archive, member)
                while chunk := source.read(_CHUNK):
                    out.write(chunk)
        else:
            raise ValueError(f"{member.name!r} does not belong there")
    if found != manifest.objects:
        raise ValueError(f"it holds {found} of {manifest.objects} stored files")
    if not dump.exists() or _digest(dump) != manifest.dump_sha256:
        raise ValueError("its dump of the database is missing or damaged")
    return dump


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names of accounts of this machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _reader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file
