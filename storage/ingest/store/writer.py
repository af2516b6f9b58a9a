"""Write finished work: all of a batch in one transaction, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from psycopg.types.json import Jsonb

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.errors import MediaError
from sightline.storage.ingest.ingest_items import PassageDraft, Work, asset_id
from sightline.storage.ingest.progress import Outcome
from sightline.storage.ingest.store.copy_rows import (
    AssetRow,
    PassageRow,
    RegionRow,
    Rows,
    Spaces,
    metadata_of,
)
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import discard_unreferenced_blobs, hold_blobs

_SQL = sql_loader.load("ingest")
_LOCK_FAMILY = 0x51648  # any number of our own, apart from that of spaces


class Standing(NamedTuple):
    """A picture of a source; ``seconds`` of a frame."""

    id: str
    seconds: float | None


class Writer:
    """Writes into one collection."""

    def __init__(
        self,
        database: Database,
        objects: BlobStore,
        collection: Collection,
        *,
        spaces: Spaces,
    ) -> None:
        self._database = database
        self._objects = objects
        self._collection = collection
        self._spaces = spaces

    async def write(self, works: Sequence[Work]) -> list[Outcome]:
        """Commit a batch; what became of each of ``works``, in order.

        What another process has written meanwhile is ``unchanged`` or ``duplicate``.
        """
        await self._store(works)
        updates = [work for work in works if work.known is not None and work.failure is None]
        fresh = [work for work in works if work.known is None or work.failure is not None]
        outcomes: dict[Work, Outcome] = {}
        async with self._database.connection() as connection:
            turn = {"family": _LOCK_FAMILY, "collection_id": self._collection.id}
            await connection.execute(_SQL["take_turn"], turn)
            await self._hold(connection, fresh)
            rows = Rows()
            ours = await self._sources(connection, fresh)
            for work, source_id in ours:
                outcomes[work] = "failed" if work.failure is not None else "added"
                self._collect(rows, work, source_id, {})
            for work in await self._replaced(connection, ours):
                outcomes[work] = "replaced"
            updated = await self._update(connection, updates)
            pictures = await self._pictures_of(connection, updated)
            for work in updated:
                outcomes[work] = "updated"
                if work.known is not None:
                    self._collect(rows, work, work.known.id, pictures.get(work, {}))
            await rows.copy(connection, self._collection.id, self._spaces)
            for work in works:
                if work not in outcomes:
                    outcomes[work] = await self._forestalled(connection, work)
        unused = [place for work in works if work.failure is not None for place in work.stored]
        if unused:
            await discard_unreferenced_blobs(self._database, self._objects, unused)
        return [outcomes[work] for work in works]

    async def _forestalled(self, connection: Connection, work: Work) -> Outcome:
        """What to call it when the bytes were there already: the same file, or another."""
        if work.failure is not None:
            return "failed"
        values = {
            "collection_id": self._collection.id,
            "keys": [work.content_key],
            "locations": [],
        }
        row = await (await connection.execute(_SQL["known"], values)).fetchone()
        return "duplicate" if row is not None and row[3] != work.location else "unchanged"

    async def _store(self, works: Sequence[Work]) -> None:
        """Keep the bytes that have no file of their own; before the rows that name them."""
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                if work.found.data is not None and work.failure is None:
                    tasks.create_task(asyncio.to_thread(self._objects.put, work.found.data))

    async def _hold(self, connection: Connection, fresh: Sequence[Work]) -> None:
        """See to it that stored bytes stay until the rows are there, and are still there now."""
        taken = [work for work in fresh if work.failure is None]
        stored = [work for work in taken if work.found.data is not None]
        if not stored and not any(work.stored for work in taken):
            return
        await hold_blobs(connection)
        for work in taken:
            if not all(self._objects.exists(place) for place in work.stored):
                # Pictures of a source that shared them were deleted meanwhile.
                work.fail(MediaError("changed", "lost a page or frame on the way; run again"))
        for work in stored:
            if work.found.data is not None and not self._objects.exists(work.location):
                await asyncio.to_thread(self._objects.put, work.found.data)

    async def _sources(
        self, connection: Connection, fresh: Sequence[Work]
    ) -> list[tuple[Work, int]]:
        """Insert sources, done and failed; those that are now ours with their ids."""
        if not fresh:
            return []
        by_key = {work.content_key: work for work in fresh}
        works = [by_key[key] for key in sorted(by_key)]
        values = {
            "collection_id": self._collection.id,
            "keys": [work.content_key for work in works],
            "names": [work.found.name for work in works],
            "locations": [work.location for work in works],
            "places": [work.found.place_location for work in works],
            "kinds": [work.kind for work in works],
            "mime_types": [work.mime_type for work in works],
            "byte_sizes": [work.byte_size for work in works],
            "metadata": [Jsonb(metadata_of(work)) for work in works],
            "sidecar_sha256s": [_sidecar_key(work) for work in works],
            "readers": [work.ocr_engine for work in works],
            "tilings": [work.tile_scheme for work in works],
            "error_codes": [work.failure.code if work.failure else None for work in works],
            "errors": [str(work.failure) if work.failure else None for work in works],
        }
        await connection.execute(_SQL["forget_failures"], values)
        cursor = await connection.execute(_SQL["insert_sources"], values)
        return [(by_key[bytes(key)], id_) for id_, key in await cursor.fetchall()]

    async def _replaced(
        self, connection: Connection, ours: Sequence[tuple[Work, int]]
    ) -> list[Work]:
        """Forget the sources whose file holds these new bytes now; the works that did it."""
        works = {work.content_key: work for work, _ in ours}
        ids = [id_ for work, id_ in ours if work.replaces and work.failure is None]
        if not ids:
            return []
        cursor = await connection.execute(_SQL["forget_replaced"], {"new_ids": ids})
        return [works[bytes(key)] for (key,) in await cursor.fetchall()]

    async def _update(self, connection: Connection, updates: Sequence[Work]) -> list[Work]:
        """Bring what is said about known sources up to date; those that are still there."""
        done = []
        for work in updates:
            if work.known is None:
                continue
            sidecar = work.found.sidecar
            values = {
                "id": work.known.id,
                "collection_id": self._collection.id,
                "name": work.found.name,
                "location": work.location,
                "caption": sidecar.caption if sidecar else None,
                "metadata": Jsonb(metadata_of(work)),
                "sidecar_sha256": _sidecar_key(work),
                "ocr_engine": work.ocr_engine,
                "tile_scheme": work.tile_scheme,
                "captured_at": work.captured.at if work.captured else None,
                "captured_local": work.captured.local if work.captured else None,
            }
            cursor = await connection.execute(_SQL["update_source"], values)
            if await cursor.fetchone() is not None:
                await connection.execute(_SQL["update_asset"], values)
                await self._forget(connection, work, work.known.id)
                done.append(work)
        return done

    async def _forget(self, connection: Connection, work: Work, source_id: int) -> None:
        """Drop what an update writes anew."""
        kinds = {"caption", "name", *(passage.kind for passage in work.passages)}
        if work.kind == "video" and work.known and work.known.sidecar_sha256 != _sidecar_key(work):
            kinds.add("subtitle")  # what stood beside it may be gone
        regions: list[str] = []
        if work.ocr_engine is not None:
            kinds.add("ocr")
            regions.append("ocr_line")
        if work.tile_scheme is not None:
            regions.append("tile")
        if regions:
            old = {"ids": [source_id], "kinds": regions}
            await connection.execute(_SQL["forget_regions"], old)
        values = {"ids": [source_id], "kinds": sorted(kinds)}
        await connection.execute(_SQL["forget_passages"], values)

    async def _pictures_of(
        self, connection: Connection, updates: Sequence[Work]
    ) -> dict[Work, dict[int, Standing]]:
        """Known pictures by their ordinals."""
        by_source = {work.known.id: work for work in updates if work.known is not None}
        cursor = await connection.execute(_SQL["pictures_of"], {"ids": list(by_source)})
        found: dict[Work, dict[int, Standing]] = {}
        for source_id, ordinal, id_, seconds in await cursor.fetchall():
            found.setdefault(by_source[source_id], {})[ordinal] = Standing(id_, seconds)
        return found

    def _collect(
        self, rows: Rows, work: Work, source_id: int, known: Mapping[int, Standing]
    ) -> None:
        """Spread finished work over the tables. Text on a picture that was deleted is dropped."""
        there = dict(known)
        for asset in work.assets:
            id_ = asset_id(self._collection.name, work.content_key, asset.kind, asset.ordinal)
            there[asset.ordinal] = Standing(id_, asset.frame_seconds)
            rows.assets.append(AssetRow(id_, source_id, work, asset))
        for region in work.regions:
            encoded = region.kind != "tile" or region.vector is not None
            if encoded and region.on_asset in there:
                rows.regions.append(RegionRow(there[region.on_asset].id, region))
        if work.named is not None:
            first = there[min(there)].id if there else None
            rows.passages.append(PassageRow(source_id, first, work.named))
        for passage in work.passages:
            if passage.on_asset is None:
                rows.passages.append(PassageRow(source_id, _shown_at(passage, there), passage))
            elif passage.on_asset in there:
                rows.passages.append(PassageRow(source_id, there[passage.on_asset].id, passage))


def _shown_at(passage: PassageDraft, there: Mapping[int, Standing]) -> str | None:
    """The frame nearest to the middle of a subtitle; None for text that is not of a film."""
    frames = [(each.seconds, each.id) for each in there.values() if each.seconds is not None]
    if passage.start_seconds is None or not frames:
        return None
    middle = (passage.start_seconds + (passage.end_seconds or passage.start_seconds)) / 2
    return min(frames, key=lambda frame: abs(frame[0] - middle))[1]


def _sidecar_key(work: Work) -> bytes | None:
    return work.found.sidecar.key if work.found.sidecar else None
