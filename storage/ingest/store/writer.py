"""Write finished sources: all of a batch in one transaction, or nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
    fetch_values,
    load_sql,
)
from sightline.storage.errors import MediaError
from sightline.storage.ingest.progress import Outcome
from sightline.storage.ingest.stage_types import (
    ChangedSource,
    EmbeddedSource,
    ExistingSource,
    FailedSource,
    NewSource,
    PassageDraft,
    asset_id,
    fail_source,
    file_of,
)
from sightline.storage.ingest.store.copy_rows import (
    AssetRow,
    BatchRows,
    PassageRow,
    RegionRow,
    TargetSpaces,
)
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import discard_unreferenced_blobs, hold_blobs

_SQL = load_sql("ingest")
_LOCK_FAMILY = 0x51648  # arbitrary; different from the lock family of embedding spaces

FinishedSource = EmbeddedSource | FailedSource


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A written source and its outcome; ``source`` may have failed during the write."""

    source: FinishedSource
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ExistingAsset:
    """An asset of a source; ``frame_seconds`` for video frames only."""

    source_id: int
    ordinal: int
    id: str
    frame_seconds: float | None


@dataclass(frozen=True, slots=True)
class _SourceId:
    id: int
    content_key: bytes


@dataclass(slots=True)
class IngestWriter:
    """Writes batches into one collection."""

    database: Database
    blobs: BlobStore
    collection: Collection
    spaces: TargetSpaces

    async def write(self, batch: Sequence[FinishedSource]) -> list[WriteResult]:
        """Commit a batch and return the results in order.

        Sources that another process wrote in the meantime are ``unchanged`` or ``duplicate``.
        """
        await self._store_uploads(batch)
        outcomes: dict[FinishedSource, Outcome] = {}
        async with self.database.connection() as connection:
            lock = {"family": _LOCK_FAMILY, "collection_id": self.collection.id}
            await connection.execute(_SQL["lock_collection"], lock)
            sources = await self._check_blobs(connection, batch)
            rows = BatchRows()
            inserted = await self._insert_sources(
                connection, [each for each in sources if _existing_of(each) is None]
            )
            for source, id_ in inserted.items():
                outcomes[source] = "failed" if isinstance(source, FailedSource) else "added"
                self._add_rows(rows, source, id_, [])
            for source in await self._delete_replaced(connection, inserted):
                outcomes[source] = "replaced"
            updated = await self._update_sources(connection, sources)
            values = {"ids": list(updated.values())}
            assets: defaultdict[int, list[ExistingAsset]] = defaultdict(list)
            for asset in await fetch_all(
                connection, _SQL["assets_of_sources"], values, row=ExistingAsset
            ):
                assets[asset.source_id].append(asset)
            for source, id_ in updated.items():
                outcomes[source] = "updated"
                self._add_rows(rows, source, id_, assets[id_])
            await rows.copy(connection, self.collection.id, self.spaces)
            for source in sources:
                if source not in outcomes:
                    outcomes[source] = await self._outcome_of_unwritten(connection, source)
        failed = [each for each in sources if isinstance(each, FailedSource)]
        if unused := [location for each in failed for location in each.stored_blobs]:
            await discard_unreferenced_blobs(self.database, self.blobs, unused)
        return [WriteResult(source, outcomes[source]) for source in sources]

    async def _outcome_of_unwritten(
        self, connection: Connection, source: FinishedSource
    ) -> Outcome:
        """Return the outcome for bytes that another process wrote."""
        if isinstance(source, FailedSource):
            return "failed"
        hashed = source.decoded.source.hashed
        values = {
            "collection_id": self.collection.id,
            "keys": [hashed.content_key],
            "locations": [],
        }
        row = await fetch_one(connection, _SQL["existing_sources"], values, row=ExistingSource)
        return "duplicate" if row is not None and row.location != hashed.location else "unchanged"

    async def _store_uploads(self, batch: Sequence[FinishedSource]) -> None:
        """Store bytes without a file, before the rows that reference them."""
        async with asyncio.TaskGroup() as tasks:
            for source in batch:
                data = file_of(source).data
                if data is not None and isinstance(source, EmbeddedSource):
                    tasks.create_task(asyncio.to_thread(self.blobs.put, data))

    async def _check_blobs(
        self, connection: Connection, batch: Sequence[FinishedSource]
    ) -> list[FinishedSource]:
        """Lock stored blobs until the commit, and fail sources whose blobs are gone."""
        new = [
            each for each in batch if isinstance(each, EmbeddedSource) and not _existing_of(each)
        ]
        if not any(each.decoded.stored_blobs or file_of(each).data is not None for each in new):
            return list(batch)
        await hold_blobs(connection)
        failed: dict[FinishedSource, FailedSource] = {}
        for source in new:
            decoded, data = source.decoded, file_of(source).data
            if not all(map(self.blobs.exists, decoded.stored_blobs)):
                # Assets of another source that shared them were deleted in the meantime.
                failure = MediaError("changed", "lost a page or frame; run the ingest again")
                failed[source] = fail_source(decoded.source, failure, decoded)
            elif data is not None and not self.blobs.exists(decoded.source.hashed.location):
                await asyncio.to_thread(self.blobs.put, data)
        return [failed.get(each, each) for each in batch]

    async def _insert_sources(
        self, connection: Connection, sources: Sequence[FinishedSource]
    ) -> dict[FinishedSource, int]:
        """Insert new and failed sources; return the ids of the inserted ones."""
        if not sources:
            return {}
        by_key = {_source_values(each)["keys"]: each for each in sources}
        rows = [_source_values(by_key[key]) for key in sorted(by_key)]
        values: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        values["collection_id"] = self.collection.id
        await connection.execute(_SQL["delete_failures"], values)
        inserted = await fetch_all(connection, _SQL["insert_sources"], values, row=_SourceId)
        return {by_key[row.content_key]: row.id for row in inserted}

    async def _delete_replaced(
        self, connection: Connection, inserted: Mapping[FinishedSource, int]
    ) -> list[FinishedSource]:
        """Delete the sources whose file now has these new bytes; return the new sources."""
        by_id = {
            id_: source
            for source, id_ in inserted.items()
            if isinstance(source, EmbeddedSource)
            and isinstance(source.decoded.source, NewSource)
            and source.decoded.source.replaces
        }
        if not by_id:
            return []
        ids = await fetch_values(connection, _SQL["delete_replaced"], {"new_ids": list(by_id)})
        return [by_id[id_] for id_ in ids]

    async def _update_sources(
        self, connection: Connection, sources: Sequence[FinishedSource]
    ) -> dict[EmbeddedSource, int]:
        """Update changed sources; return the ids of those that still exist."""
        updated: dict[EmbeddedSource, int] = {}
        for source in sources:
            existing = _existing_of(source)
            if existing is None or not isinstance(source, EmbeddedSource):
                continue
            decoded, sidecar = source.decoded, file_of(source).sidecar
            values = {
                "id": existing.id,
                "collection_id": self.collection.id,
                "name": file_of(source).name,
                "location": decoded.source.hashed.location,
                "caption": sidecar.caption if sidecar else None,
                "metadata": Jsonb(dict(sidecar.metadata) if sidecar else {}),
                "sidecar_sha256": sidecar.sha256 if sidecar else None,
                "ocr_engine": decoded.ocr_engine,
                "tile_scheme": decoded.tile_scheme,
                "captured_at": decoded.captured.at if decoded.captured else None,
                "captured_local": decoded.captured.local if decoded.captured else None,
            }
            if await fetch_value(connection, _SQL["update_source"], values) is not None:
                await connection.execute(_SQL["update_asset"], values)
                await self._delete_outdated(connection, source, existing)
                updated[source] = existing.id
        return updated

    async def _delete_outdated(
        self, connection: Connection, source: EmbeddedSource, existing: ExistingSource
    ) -> None:
        """Delete the passages and regions that an update writes again."""
        kinds = {"caption", "name", *(passage.draft.kind for passage in source.passages)}
        sidecar = file_of(source).sidecar
        if existing.kind == "video" and existing.sidecar_sha256 != (
            sidecar.sha256 if sidecar else None
        ):
            kinds.add("subtitle")  # the subtitle file may have been removed
        regions: list[str] = []
        if source.decoded.ocr_engine is not None:
            kinds.add("ocr")
            regions.append("ocr_line")
        if source.decoded.tile_scheme is not None:
            regions.append("tile")
        if regions:
            values = {"ids": [existing.id], "kinds": regions}
            await connection.execute(_SQL["delete_regions"], values)
        values = {"ids": [existing.id], "kinds": sorted(kinds)}
        await connection.execute(_SQL["delete_passages"], values)

    def _add_rows(
        self,
        rows: BatchRows,
        source: FinishedSource,
        source_id: int,
        existing: Sequence[ExistingAsset],
    ) -> None:
        """Add the rows of a source. Text on an image that was deleted is dropped."""
        if isinstance(source, FailedSource):
            return
        assets = {asset.ordinal: asset for asset in existing}
        key = source.decoded.source.hashed.content_key
        for asset in source.assets:
            draft = asset.draft
            id_ = asset_id(self.collection.name, key, draft.kind, draft.ordinal)
            assets[draft.ordinal] = ExistingAsset(
                source_id, draft.ordinal, id_, draft.frame_seconds
            )
            rows.assets.append(AssetRow(id_, source_id, source.decoded, asset))
        for region in source.regions:
            if region.draft.asset in assets:
                rows.regions.append(RegionRow(assets[region.draft.asset].id, region))
        for passage in source.passages:
            draft_asset = passage.draft.asset
            if passage.draft.kind == "name":
                first = assets[min(assets)].id if assets else None
                rows.passages.append(PassageRow(source_id, first, passage))
            elif draft_asset is None:
                nearest = _nearest_frame(passage.draft, list(assets.values()))
                rows.passages.append(PassageRow(source_id, nearest, passage))
            elif draft_asset in assets:
                rows.passages.append(PassageRow(source_id, assets[draft_asset].id, passage))


def _existing_of(source: FinishedSource) -> ExistingSource | None:
    """Return the row that a source updates; a failure never updates one."""
    if isinstance(source, EmbeddedSource) and isinstance(source.decoded.source, ChangedSource):
        return source.decoded.source.existing
    return None


def _source_values(source: FinishedSource) -> dict[str, Any]:
    """Return the parameters of ``insert_sources`` for one source."""
    file = file_of(source)
    facts = source if isinstance(source, FailedSource) else source.decoded
    hashed = source if isinstance(source, FailedSource) else source.decoded.source.hashed
    failure = source.failure if isinstance(source, FailedSource) else None
    decoded = source.decoded if isinstance(source, EmbeddedSource) else None
    sidecar = file.sidecar
    return {
        "keys": hashed.content_key,
        "names": file.name,
        "locations": hashed.location,
        "places": file.failure_location,
        "kinds": facts.kind,
        "mime_types": facts.mime_type,
        "byte_sizes": facts.byte_size,
        "metadata": Jsonb(dict(sidecar.metadata) if sidecar else {}),
        "sidecar_sha256s": sidecar.sha256 if sidecar else None,
        "ocr_engines": decoded.ocr_engine if decoded else None,
        "tile_schemes": decoded.tile_scheme if decoded else None,
        "error_codes": failure.code if failure else None,
        "errors": str(failure) if failure else None,
    }


def _nearest_frame(passage: PassageDraft, assets: Sequence[ExistingAsset]) -> str | None:
    """Return the frame nearest to the middle of a subtitle; None for other text."""
    frames = [(each.frame_seconds, each.id) for each in assets if each.frame_seconds is not None]
    if passage.start_seconds is None or not frames:
        return None
    middle = (passage.start_seconds + (passage.end_seconds or passage.start_seconds)) / 2
    return min(frames, key=lambda frame: abs(frame[0] - middle))[1]
