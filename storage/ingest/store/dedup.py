"""Decide by content what is new, changed, unchanged or a duplicate."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, load_sql
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.discover.sidecars import Sidecar
from sightline.storage.ingest.stage_types import (
    AcceptedSource,
    ChangedSource,
    DedupDecision,
    DiscoveredFile,
    DuplicateFile,
    ExistingSource,
    FailedSource,
    HashedFile,
    NewSource,
    UnchangedSource,
)
from sightline.storage.records.collections import Collection

_SQL = load_sql("ingest")
_FILE = "file:"

HashFile = Callable[[str], Awaitable[tuple[bytes, FileStamp]]]
"""Returns the SHA-256 and the stamp of a file. Raises MediaError."""


async def hash_files(
    files: Sequence[DiscoveredFile], hash_file: HashFile
) -> list[HashedFile | FailedSource]:
    """Hash all files; those whose bytes cannot be read fail."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(_hash(file, hash_file)) for file in files]
    return [task.result() for task in started]


@dataclass(slots=True)
class Deduplicator:
    """Compares files with one collection and with the pending sources of this run."""

    database: Database
    blobs: BlobStore
    collection: Collection
    hash_file: HashFile
    needs_decode: Callable[[ExistingSource, Sidecar | None], bool]
    _pending: dict[bytes, tuple[NewSource, list[str]]] = field(default_factory=dict)

    async def decide(self, files: Sequence[HashedFile | FailedSource]) -> list[DedupDecision]:
        """Return one decision per file, in order; failures pass through."""
        by_key, by_location = await self._existing(
            [each for each in files if isinstance(each, HashedFile)]
        )
        decisions: list[DedupDecision] = []
        for hashed in files:
            if isinstance(hashed, FailedSource):
                decisions.append(hashed)
                continue
            existing = by_key.get(hashed.content_key)
            pending = self._pending.get(hashed.content_key)
            if existing is not None and existing.state == "done":
                decisions.append(await self._compare(hashed, existing))
            elif pending is not None:
                pending[1].append(hashed.file.name)
                decisions.append(DuplicateFile(hashed, pending=True))
            else:
                previous = by_location.get(hashed.location)
                replaces = previous is not None and previous.state == "done"
                source = NewSource(hashed, replaces)
                self._pending[hashed.content_key] = (source, [])
                decisions.append(source)
        return decisions

    def release(self, source: AcceptedSource | None) -> list[str]:
        """Forget a source that is written or failed; return the names of its duplicates.

        From now on the database knows the source.
        """
        key = source.hashed.content_key if source is not None else b""
        pending = self._pending.get(key)
        if pending is None or pending[0] is not source:
            return []
        del self._pending[key]
        return pending[1]

    async def _compare(self, hashed: HashedFile, existing: ExistingSource) -> DedupDecision:
        file = hashed.file
        # Stored bytes have one location, whatever their name.
        stored = not existing.location.startswith(_FILE)
        if stored and file.data is not None and not self.blobs.exists(existing.location):
            await asyncio.to_thread(self.blobs.put, file.data)
        same_name = not stored or file.name == existing.name
        if hashed.location == existing.location and same_name:
            changed = (
                (file.sidecar.sha256 if file.sidecar else None) != existing.sidecar_sha256
                or self.needs_decode(existing, file.sidecar)
                or not existing.has_name_passage
            )
            return ChangedSource(hashed, existing) if changed else UnchangedSource(hashed)
        if stored or await self._is_unmoved(existing):
            return DuplicateFile(hashed, pending=False)
        return ChangedSource(hashed, existing)

    async def _is_unmoved(self, existing: ExistingSource) -> bool:
        """Return whether the location of an existing source still has its bytes."""
        try:
            digest, _ = await self.hash_file(existing.location.removeprefix(_FILE))
        except MediaError:
            return False
        return digest == existing.content_key

    async def _existing(
        self, files: Sequence[HashedFile]
    ) -> tuple[dict[bytes, ExistingSource], dict[str, ExistingSource]]:
        if not files:
            return {}, {}
        values = {
            "collection_id": self.collection.id,
            "keys": [each.content_key for each in files],
            "locations": [each.location for each in files if each.location.startswith(_FILE)],
        }
        async with self.database.connection() as connection:
            sources = await fetch_all(
                connection, _SQL["existing_sources"], values, row=ExistingSource
            )
        return {each.content_key: each for each in sources}, {
            each.location: each for each in sources
        }


async def _hash(file: DiscoveredFile, hash_file: HashFile) -> HashedFile | FailedSource:
    failure = file.failure
    try:
        if failure is None and file.data is not None:
            digest = await asyncio.to_thread(lambda data: hashlib.sha256(data).digest(), file.data)
            return HashedFile(file, digest, f"object:{digest.hex()}", len(file.data))
        if failure is None and file.path is not None:
            digest, stamp = await hash_file(file.path)
            return HashedFile(file, digest, f"{_FILE}{file.path}", stamp.size, stamp)
    except MediaError as error:
        failure = error
    if failure is None:
        raise ValueError(f"{file.name} has neither a path nor bytes")
    return FailedSource(file, file.failure_key, file.failure_location, failure)
