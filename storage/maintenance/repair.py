"""Mends what `check` finds, as far as what is stored is enough to mend it from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import ImageEncoder
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.maintenance.rebuild import repost_passages, reread_passages, reread_pictures
from sightline.storage.records import embedding_spaces
from sightline.storage.records.deletion import discard_unreferenced_blobs

_SQL = sql_loader.load("repair")
_CHECKS = sql_loader.load("check")


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done about the findings of one code, and to how many things."""

    code: str
    count: int
    what: str


@dataclass(slots=True)
class Repair:
    """One repair. ``encoder`` is asked for only where there is something to encode.

    Safe beside a running server and an ingest. Nothing that a person made is dropped: what only
    the original files can mend is forgotten, so that the next ingest takes it in again, and not
    even that where somebody has drawn on it.
    """

    database: Database
    objects: BlobStore
    encoder: Callable[[], Awaitable[ImageEncoder]]
    options: IngestOptions = field(default_factory=IngestOptions)
    done: list[Mended] = field(default_factory=list)

    async def run(self) -> list[Mended]:
        """Mend all that can be; afterwards `check` finds what could not. StorageError, ModelError.

        The order matters: what is filed rightly before what is missing, the indexes last.
        """
        found = {finding.code for finding in await check(self.database, self.objects)}
        for code, mend in {
            "space_without_partition": self._partitions,
            "posting_without_passage": self._delete("posting_without_passage", "dropped"),
            "vector_of_another_collection": self._delete("vector_of_another_collection", "refiled"),
            "vector_in_an_unused_space": self._delete("vector_in_an_unused_space", "dropped"),
            "object_missing": self._forget,
            "source_without_content": self._delete("source_without_content", _FORGOTTEN),
        }.items():
            if code in found:
                await mend()
        if found & {"space_without_partition", "vector_in_an_unused_space"}:
            # Vectors may be missing now that were not looked for.
            found = {finding.code for finding in await check(self.database, self.objects)}
        if found & {"asset_without_vector", "asset_without_thumbnail"}:
            await self._pictures()
        if "passage_without_vector" in found:
            await self._passages()
        if "passage_without_postings" in found:
            ids = await self._passage_ids("passage_without_postings")
            count = await repost_passages(self.database, ids)
            self._note("passage_without_postings", count, "analysed again")
        await self._indexes()
        await self._files()
        return self.done

    def _note(self, code: str, count: int, what: str) -> None:
        if count:
            self.done.append(Mended(code, count, what))

    def _delete(self, code: str, what: str) -> Callable[[], Awaitable[None]]:
        async def mend() -> None:
            async with self.database.connection() as connection:
                await connection.execute(_SQL["no_time_limit"])
                self._note(code, (await connection.execute(_SQL[code])).rowcount, what)

        return mend

    async def _partitions(self) -> None:
        async with self.database.connection() as connection:
            for space in await embedding_spaces.list_spaces(connection):
                name = {"partition": f"sightline.{space.partition}"}
                row = await (await connection.execute(_SQL["detached_partition"], name)).fetchone()
                stands, attached = row or (False, False)
                if attached:
                    continue
                if stands:
                    await connection.execute(space.compose(_SQL["attach_partition"]))
                else:
                    await embedding_spaces.create_partition(connection, space)
                self._note("space_without_partition", 1, "attached" if stands else "made anew")

    async def _forget(self) -> None:
        """Sources whose pages or frames are gone; `discard_unreferenced_blobs` comes later."""
        async with self.database.connection() as connection:
            rows = await (await connection.execute(_CHECKS["locations"])).fetchall()
            gone = [
                location
                for location, _ in rows
                if location.startswith("object:") and not self.objects.exists(location)
            ]
            cursor = await connection.execute(_SQL["forget_without_objects"], {"locations": gone})
            self._note("object_missing", cursor.rowcount, _FORGOTTEN)

    async def _pictures(self) -> None:
        ids = sorted(
            {
                *await self._ids("asset_without_vector"),
                *await self._ids("asset_without_thumbnail"),
            }
        )
        count = await reread_pictures(
            self.database,
            self.objects,
            ids,
            await self.encoder(),
            await self._spaces(),
            self.options,
        )
        self._note("asset_without_vector or _thumbnail", count, "read again")

    async def _passages(self) -> None:
        ids = await self._passage_ids("passage_without_vector")
        encoder = await self.encoder()
        count = await reread_passages(self.database, ids, encoder, await self._spaces())
        self._note("passage_without_vector", count, "encoded again")

    async def _indexes(self) -> None:
        async with self.database.connection() as connection:
            for space in await embedding_spaces.list_spaces(connection):
                if not await embedding_spaces.has_index(connection, space):
                    await embedding_spaces.ensure_index(connection, space)
                    self._note("space_without_index", 1, "built")

    async def _files(self) -> None:
        async with self.database.connection() as connection:
            rows = await (await connection.execute(_CHECKS["locations"])).fetchall()
        named = {location for location, _ in rows}
        unnamed = [location for location in self.objects.locations() if location not in named]
        removed = (
            await discard_unreferenced_blobs(self.database, self.objects, unnamed) if unnamed else 0
        )
        self._note("object_unreferenced", removed, "removed")
        self._note("object_unfinished", self.objects.discard_partial_files(), "removed")

    async def _spaces(self) -> dict[int, embedding_spaces.EmbeddingSpace]:
        async with self.database.connection() as connection:
            return {space.id: space for space in await embedding_spaces.list_spaces(connection)}

    async def _ids(self, code: str) -> list[str]:
        async with self.database.connection() as connection:
            await connection.execute(_CHECKS["settings"])
            return [row[0] for row in await (await connection.execute(_CHECKS[code])).fetchall()]

    async def _passage_ids(self, code: str) -> list[int]:
        return [int(each.removeprefix("p")) for each in await self._ids(code)]


_FORGOTTEN = "forgotten, so that the next ingest takes them in again"
