"""Repairs what ``integrity_check`` finds, as far as the stored data allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_pairs, fetch_value, fetch_values, load_sql
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import ImageEncoder
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.maintenance.rebuild import (
    rebuild_assets,
    rebuild_passage_vectors,
    rebuild_postings,
)
from sightline.storage.records import embedding_spaces
from sightline.storage.records.deletion import discard_unreferenced_blobs

_SQL = load_sql("repair")
_CHECKS = load_sql("check")
_DROPPED_FOR_REINGEST = "dropped; the next ingest adds them again"
# Findings that one statement of the same name repairs.
_STATEMENTS = {
    "posting_without_passage": "dropped",
    "vector_of_another_collection": "moved to the right collection",
    "vector_in_an_unused_space": "dropped",
    "source_without_content": _DROPPED_FOR_REINGEST,
}


@dataclass(frozen=True, slots=True)
class RepairAction:
    """What was done about the findings of one code, and for how many rows or files."""

    code: str
    count: int
    action: str


@dataclass(slots=True)
class Repair:
    """One repair run. ``encoder`` is called only if something must be encoded.

    Safe beside a running server and ingest. Keeps everything made by people: sources that only
    the original files can repair are dropped for the next ingest, unless they have annotations.
    """

    database: Database
    blobs: BlobStore
    encoder: Callable[[], Awaitable[ImageEncoder]]
    options: IngestOptions = field(default_factory=IngestOptions)
    actions: list[RepairAction] = field(default_factory=list)

    async def run(self) -> list[RepairAction]:
        """Repair everything possible. Raises StorageError and ModelError.

        The order matters: first wrong rows, then missing rows, indexes last.
        """
        codes = await self._finding_codes()
        if "space_without_partition" in codes:
            await self._create_partitions()
        for code, action in _STATEMENTS.items():
            if code in codes:
                async with self.database.write_connection() as connection:
                    await connection.execute(_SQL["no_time_limit"])
                    self._add(code, (await connection.execute(_SQL[code])).rowcount, action)
        if "unused_space" in codes:
            async with self.database.write_connection() as connection:
                await connection.execute(_SQL["no_time_limit"])
                self._add("unused_space", await embedding_spaces.drop_unused(connection), "dropped")
        if "blob_missing" in codes:
            await self._drop_for_reingest()
        if codes & {"space_without_partition", "vector_in_an_unused_space"}:
            codes = await self._finding_codes()  # these repairs can reveal missing vectors
        await self._rebuild(codes)
        await self._build_indexes()
        await self._delete_files()
        return self.actions

    async def _finding_codes(self) -> set[str]:
        return {finding.code for finding in await check(self.database, self.blobs)}

    def _add(self, code: str, count: int, action: str) -> None:
        if count:
            self.actions.append(RepairAction(code, count, action))

    async def _create_partitions(self) -> None:
        async with self.database.write_connection() as connection:
            for space in await embedding_spaces.list_spaces(connection):
                params = {"partition": f"sightline.{space.partition}"}
                state = await fetch_value(connection, _SQL["partition_state"], params)
                if state == "detached":
                    await connection.execute(space.compose(_SQL["attach_partition"]))
                    self._add("space_without_partition", 1, "attached")
                elif state == "missing":
                    await embedding_spaces.create_partition(connection, space)
                    self._add("space_without_partition", 1, "created")

    async def _drop_for_reingest(self) -> None:
        """Drop sources with missing blobs; ``_delete_files`` removes their other blobs."""
        async with self.database.write_connection() as connection:
            missing = [
                location
                for location in await fetch_pairs(connection, _CHECKS["locations"])
                if location.startswith("object:") and not self.blobs.exists(location)
            ]
            params = {"locations": missing}
            cursor = await connection.execute(_SQL["drop_sources_without_blobs"], params)
            self._add("blob_missing", cursor.rowcount, _DROPPED_FOR_REINGEST)

    async def _rebuild(self, codes: set[str]) -> None:
        database = self.database
        async with database.connection() as connection:
            await connection.execute(_CHECKS["settings"])
            spaces = await embedding_spaces.list_spaces(connection)
            ids: dict[str, list[str]] = {
                code: await fetch_values(connection, _CHECKS[code])
                for code in codes & _CHECKS.keys()
            }
        assets = {*ids.get("asset_without_vector", ()), *ids.get("asset_without_thumbnail", ())}
        if assets:
            encoder = await self.encoder()
            count = await rebuild_assets(
                database, self.blobs, sorted(assets), encoder, spaces, self.options
            )
            self._add("asset_without_vector or _thumbnail", count, "decoded and encoded again")
        if passages := ids.get("passage_without_vector"):
            encoder = await self.encoder()
            count = await rebuild_passage_vectors(database, passages, encoder, spaces)
            self._add("passage_without_vector", count, "encoded again")
        if passages := ids.get("passage_without_postings"):
            count = await rebuild_postings(database, passages)
            self._add("passage_without_postings", count, "analyzed again")

    async def _build_indexes(self) -> None:
        async with self.database.write_connection() as connection:
            for space in await embedding_spaces.list_spaces(connection):
                if not await embedding_spaces.has_index(connection, space):
                    await embedding_spaces.ensure_index(connection, space)
                    self._add("space_without_index", 1, "built")

    async def _delete_files(self) -> None:
        async with self.database.connection() as connection:
            referenced = await fetch_pairs(connection, _CHECKS["locations"])
        unreferenced = [each for each in self.blobs.locations() if each not in referenced]
        removed = 0
        if unreferenced:
            removed = await discard_unreferenced_blobs(self.database, self.blobs, unreferenced)
        self._add("blob_unreferenced", removed, "deleted")
        self._add("partial_file", self.blobs.discard_partial_files(), "deleted")
