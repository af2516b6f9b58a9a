"""Write finished sources: all of a batch in one transaction, or nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_one,
    fetch_value,
    load_sql,
)
from sightline.storage.db.row_locks import lock
from sightline.storage.errors import MediaError
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.progress import Outcome
from sightline.storage.ingest.store.copy_rows import (
    AnnotationRow,
    AssetRow,
    BatchRows,
    PassageRow,
    RegionRow,
    TargetSpaces,
)
from sightline.storage.ingest.store.source_updates import existing_of, update_sources
from sightline.storage.records import embedding_spaces, picture_pairs
from sightline.storage.records.collections import Collection
from sightline.storage.records.deleted_words import DeletedWords
from sightline.storage.records.deletion import (
    collection_lock,
    discard_unreferenced_blobs,
    hold_blobs,
    require_collection,
)

_SQL = load_sql("ingest")
# An index build, for which a writer waits, may take this long.
_WAIT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A written source and its outcome; ``source`` may have failed during the write."""

    source: stages.FinishedSource
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ExistingAsset:
    """An asset of a source; ``frame_seconds`` for video frames only."""

    source_id: int
    ordinal: int
    id: str
    frame_seconds: float | None
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _SourceId:
    id: int
    content_key: bytes


@dataclass(frozen=True, slots=True)
class _Replaced:
    id: int
    new_id: int


@dataclass(slots=True)
class IngestWriter:
    database: Database
    blobs: BlobStore
    collection: Collection
    spaces: TargetSpaces

    async def write(self, batch: Sequence[stages.FinishedSource]) -> list[WriteResult]:
        """Commit a batch and return the results in order.

        Sources that another process wrote in the meantime are ``unchanged`` or ``duplicate``.
        Raises StorageError if the collection was deleted, or re-encoded with another encoder.
        """
        await self._store_uploads(batch)
        outcomes: dict[stages.FinishedSource, Outcome] = {}
        # Writers of one collection run one after another; otherwise they could deadlock on rows.
        turn = collection_lock(self.collection.id, self.collection.name, _WAIT_SECONDS)
        async with self.database.write_connection(
            acquire_timeout_seconds=_WAIT_SECONDS
        ) as connection:
            await connection.execute(_SQL["write_settings"], {"lock_seconds": _WAIT_SECONDS})
            await lock(connection, turn)
            await require_collection(connection, self.collection)
            collection = self.collection
            await embedding_spaces.require_used(
                connection, collection.id, collection.name, self.spaces
            )
            sources = await self._check_blobs(connection, batch)
            rows = BatchRows()
            id_key = await fetch_value(connection, _SQL["id_key"])
            new = [each for each in sources if existing_of(each) is None]
            inserted = await self._insert_sources(connection, new)
            for source, id_ in inserted.items():
                outcomes[source] = "failed"
                if isinstance(source, stages.EmbeddedSource):
                    outcomes[source] = "added"
                    self._add_rows(rows, source, id_key, id_, [])
            words = DeletedWords()
            for source in await self._delete_replaced(connection, inserted, words):
                outcomes[source] = "replaced"
            updated = await update_sources(connection, self.collection, sources, words)
            values = {"ids": list(updated.values())}
            query = _SQL["assets_of_sources"]
            assets: defaultdict[int, list[ExistingAsset]] = defaultdict(list)
            for asset in await fetch_all(connection, query, values, row=ExistingAsset):
                assets[asset.source_id].append(asset)
            for source, id_ in updated.items():
                outcomes[source] = "updated"
                self._add_rows(rows, source, id_key, id_, assets[id_])
            await rows.copy(connection, self.collection.id, self.spaces)
            await words.forget(connection)
            await picture_pairs.store_pairs(connection, _compared(rows, updated, assets))
            for source in sources:
                if source not in outcomes:
                    outcomes[source] = await self._outcome_of_unwritten(connection, source)
        failed = [each.decoded for each in sources if isinstance(each, stages.FailedSource)]
        if unused := [blob for each in failed if each is not None for blob in each.stored_blobs]:
            await discard_unreferenced_blobs(self.database, self.blobs, unused)
        return [WriteResult(source, outcomes[source]) for source in sources]

    async def _outcome_of_unwritten(
        self, connection: Connection, source: stages.FinishedSource
    ) -> Outcome:
        """Return the outcome for bytes that another process wrote."""
        if isinstance(source, stages.FailedSource):
            return "failed"
        hashed = source.hashed
        keys = [hashed.content_key]
        values = {"collection_id": self.collection.id, "keys": keys, "locations": []}
        row = await fetch_one(
            connection, _SQL["existing_sources"], values, row=stages.ExistingSource
        )
        return "duplicate" if row is not None and row.location != hashed.location else "unchanged"

    async def _store_uploads(self, batch: Sequence[stages.FinishedSource]) -> None:
        """Store bytes without a file, before the rows that reference them."""
        async with asyncio.TaskGroup() as tasks:
            for source in batch:
                data = source.hashed.file.data
                if data is not None and isinstance(source, stages.EmbeddedSource):
                    tasks.create_task(asyncio.to_thread(self.blobs.put, data))

    async def _check_blobs(
        self, connection: Connection, batch: Sequence[stages.FinishedSource]
    ) -> list[stages.FinishedSource]:
        """Lock stored blobs until the commit, and fail sources whose blobs are gone."""
        new = [
            each
            for each in batch
            if isinstance(each, stages.EmbeddedSource) and not existing_of(each)
        ]
        if not any(each.decoded.stored_blobs or each.hashed.file.data is not None for each in new):
            return list(batch)
        await hold_blobs(connection)
        failed: dict[stages.FinishedSource, stages.FailedSource] = {}
        for source in new:
            decoded, data = source.decoded, source.hashed.file.data
            if not all(map(self.blobs.exists, decoded.stored_blobs)):
                # Assets of another source that shared them were deleted in the meantime.
                failure = MediaError("changed", "lost a page or frame; run the ingest again")
                failed[source] = stages.fail_source(decoded, failure)
            elif data is not None and not self.blobs.exists(source.hashed.location):
                await asyncio.to_thread(self.blobs.put, data)
        return [failed.get(each, each) for each in batch]

    async def _insert_sources(
        self, connection: Connection, sources: Sequence[stages.FinishedSource]
    ) -> dict[stages.FinishedSource, int]:
        """Insert new and failed sources; return the ids of the inserted ones."""
        if not sources:
            return {}
        by_key = {each.hashed.content_key: each for each in sources}
        rows = [_source_values(by_key[key]) for key in sorted(by_key)]
        values: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        values["collection_id"] = self.collection.id
        await connection.execute(_SQL["delete_failures"], values)
        inserted = await fetch_all(connection, _SQL["insert_sources"], values, row=_SourceId)
        return {by_key[row.content_key]: row.id for row in inserted}

    async def _delete_replaced(
        self,
        connection: Connection,
        inserted: Mapping[stages.FinishedSource, int],
        words: DeletedWords,
    ) -> list[stages.FinishedSource]:
        """Delete the sources whose file now has these new bytes; return the new sources."""
        by_id = {
            id_: source
            for source, id_ in inserted.items()
            if isinstance(source, stages.EmbeddedSource)
            and isinstance(source.decoded.source, stages.NewSource)
            and source.decoded.source.replaces
        }
        if not by_id:
            return []
        values: dict[str, Any] = {"new_ids": list(by_id)}
        replaced = await fetch_all(connection, _SQL["replaced_sources"], values, row=_Replaced)
        old_ids = [each.id for each in replaced]
        await words.collect(connection, sources=old_ids)
        await connection.execute(_SQL["delete_sources"], {"ids": old_ids})
        return [by_id[each.new_id] for each in replaced]

    def _add_rows(
        self,
        rows: BatchRows,
        source: stages.EmbeddedSource,
        id_key: bytes,
        source_id: int,
        existing: Sequence[ExistingAsset],
    ) -> None:
        """Add the rows of a source. Text on an image that was deleted is dropped."""
        assets = {asset.ordinal: asset for asset in existing}
        key = source.hashed.content_key
        for asset in source.assets:
            part, number = asset.draft.part, asset.draft.part.ordinal
            id_ = stages.asset_id(id_key, self.collection.name, key, part.kind, number)
            assets[number] = ExistingAsset(
                source_id, number, id_, part.frame_seconds, part.width, part.height
            )
            rows.assets.append(AssetRow(id_, source_id, source.decoded, asset))
        if 0 in assets:
            size = (assets[0].width, assets[0].height)
            regions = [each.normalized(*size) for each in source.decoded.description.regions]
            rows.annotations += [AnnotationRow(assets[0].id, each) for each in regions if each.box]
        for region in source.regions:
            if region.draft.asset in assets:
                rows.regions.append(RegionRow(assets[region.draft.asset].id, region))
        for passage in source.passages:
            draft_asset = passage.draft.asset
            if passage.draft.kind == "name":
                described = assets[min(assets)].id if assets else None
            elif draft_asset is None:
                described = _frame_of(passage.draft, assets.values())
            elif draft_asset in assets:
                described = assets[draft_asset].id
            else:
                continue
            rows.passages.append(PassageRow(source_id, described, passage))


def _compared(
    rows: BatchRows,
    updated: Mapping[stages.EmbeddedSource, int],
    assets: Mapping[int, Sequence[ExistingAsset]],
) -> list[str]:
    """Return the ids of assets that are new, or whose text was read again."""
    read = [id_ for source, id_ in updated.items() if source.decoded.ocr_engine is not None]
    known = [asset.id for id_ in read for asset in assets[id_]]
    return [*dict.fromkeys((*(row.id for row in rows.assets), *known))]


def _source_values(source: stages.FinishedSource) -> dict[str, Any]:
    hashed, file, decoded = source.hashed, source.hashed.file, source.decoded
    failure = source.failure if isinstance(source, stages.FailedSource) else None
    return {
        "keys": hashed.content_key,
        "names": file.name,
        "locations": hashed.location,
        "places": file.failure_location,
        "kinds": decoded.kind if decoded else "unknown",
        "mime_types": decoded.mime_type if decoded else None,
        "byte_sizes": hashed.byte_size,
        "metadata": Jsonb(dict(_metadata_of(source))),
        "sidecar_sha256s": file.sidecar_sha256,
        "ocr_engines": decoded.ocr_engine if decoded and not failure else None,
        "transcribers": decoded.transcriber if decoded and not failure else None,
        "tile_schemes": decoded.tile_scheme if decoded and not failure else None,
        "error_codes": failure.code if failure else None,
        "errors": str(failure) if failure else None,
    }


def _metadata_of(source: stages.FinishedSource) -> Mapping[str, Any]:
    """Return the metadata; of a failed source only what its sidecar says."""
    if isinstance(source, stages.EmbeddedSource):
        return source.decoded.description.metadata
    sidecar = source.hashed.file.sidecar
    return sidecar.metadata if sidecar else {}


def _frame_of(passage: stages.PassageDraft, assets: Iterable[ExistingAsset]) -> str | None:
    """Return the frame to show for a subtitle; None for other text.

    It is one that is shown with the subtitle, near the middle, else the last one before it. A frame
    lasts until the next one, so a later one may show the next scene.
    """
    frames = [(each.frame_seconds, each.id) for each in assets if each.frame_seconds is not None]
    if passage.seconds is None or not frames:
        return None
    start, end = passage.seconds
    end = start if end is None else end
    if during := [frame for frame in frames if start <= frame[0] <= end]:
        return min(during, key=lambda frame: abs(frame[0] - (start + end) / 2))[1]
    if before := [frame for frame in frames if frame[0] < start]:
        return max(before)[1]
    return min(frames)[1]
