"""Decide by content what is new, changed, unchanged or a duplicate."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, load_sql
from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.records.collections import Collection

_SQL = load_sql("ingest")
_FILE = "file:"

HashFile = Callable[[str], Awaitable[tuple[bytes, FileStamp]]]
"""Returns the SHA-256 and the stamp of a file. Raises MediaError."""


async def hash_files(
    files: Sequence[stages.DiscoveredFile], hash_file: HashFile
) -> list[stages.HashedFile | stages.FailedSource]:
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
    needs_decode: Callable[[stages.ExistingSource, stages.DiscoveredFile], bool]
    _pending: dict[bytes, tuple[stages.NewSource, list[str]]] = field(default_factory=dict)

    async def decide(
        self, files: Sequence[stages.HashedFile | stages.FailedSource]
    ) -> list[stages.DedupDecision]:
        """Return one decision per file, in order; failures pass through."""
        by_key, by_location = await self._existing(
            [each for each in files if isinstance(each, stages.HashedFile)]
        )
        decisions: list[stages.DedupDecision] = []
        for hashed in files:
            if isinstance(hashed, stages.FailedSource):
                decisions.append(hashed)
                continue
            existing = by_key.get(hashed.content_key)
            pending = self._pending.get(hashed.content_key)
            if existing is not None and existing.state == "done":
                decisions.append(await self._compare(hashed, existing))
            elif pending is not None:
                pending[1].append(hashed.file.name)
                decisions.append(stages.DuplicateFile(hashed, pending=True))
            else:
                previous = by_location.get(hashed.location)
                replaces = previous is not None and previous.state == "done"
                source = stages.NewSource(hashed, replaces)
                self._pending[hashed.content_key] = (source, [])
                decisions.append(source)
        return decisions

    def release(self, source: stages.AcceptedSource) -> list[str]:
        """Forget a source that the database knows now; return the names of its duplicates."""
        key = source.hashed.content_key
        pending, names = self._pending.get(key, (None, []))
        if pending is not source:
            return []
        del self._pending[key]
        return names

    async def _compare(
        self, hashed: stages.HashedFile, existing: stages.ExistingSource
    ) -> stages.DedupDecision:
        file = hashed.file
        # Stored bytes have one location, whatever their name.
        stored = not existing.location.startswith(_FILE)
        if stored and file.data is not None and not self.blobs.exists(existing.location):
            await asyncio.to_thread(self.blobs.put, file.data)
        same_name = not stored or file.name == existing.name
        if hashed.location == existing.location and same_name:
            changed = (
                file.sidecar_sha256 != existing.sidecar_sha256
                or self.needs_decode(existing, file)
                or not existing.has_name_passage
            )
            return (
                stages.ChangedSource(hashed, existing)
                if changed
                else stages.UnchangedSource(hashed)
            )
        if stored or await self._is_unmoved(existing):
            return stages.DuplicateFile(hashed, pending=False)
        return stages.ChangedSource(hashed, existing)

    async def _is_unmoved(self, existing: stages.ExistingSource) -> bool:
        """Return whether the location of an existing source still has its bytes."""
        with suppress(MediaError):
            digest, _ = await self.hash_file(existing.location.removeprefix(_FILE))
            return digest == existing.content_key
        return False

    async def _existing(
        self, files: Sequence[stages.HashedFile]
    ) -> tuple[dict[bytes, stages.ExistingSource], dict[str, stages.ExistingSource]]:
        values = {
            "collection_id": self.collection.id,
            "keys": [each.content_key for each in files],
            "locations": [each.location for each in files if each.location.startswith(_FILE)],
        }
        async with self.database.connection() as connection:
            query = _SQL["existing_sources"]
            sources = await fetch_all(connection, query, values, row=stages.ExistingSource)
        by_key = {each.content_key: each for each in sources}
        return by_key, {each.location: each for each in sources}


async def _hash(
    file: stages.DiscoveredFile, hash_file: HashFile
) -> stages.HashedFile | stages.FailedSource:
    if file.failure is not None:
        return stages.fail_before_dedup(file, file.failure)
    try:
        if file.data is not None:
            digest = await asyncio.to_thread(lambda data: hashlib.sha256(data).digest(), file.data)
            return stages.HashedFile(file, digest, f"object:{digest.hex()}", len(file.data))
        digest, stamp = await hash_file(str(file.path))
        return stages.HashedFile(file, digest, f"{_FILE}{file.path}", stamp.size, stamp)
    except MediaError as error:
        return stages.fail_before_dedup(file, error)
