"""Copy the rows of a batch into their tables, in the order in which they name each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import LiteralString, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.ingest.ingest_items import (
    AssetDraft,
    PassageDraft,
    RegionDraft,
    Vector,
    Work,
)
from sightline.storage.ingest.store.binary_copy import Key, embedding_rows
from sightline.storage.records.embedding_spaces import EmbeddingSpace

_SQL = sql_loader.load("ingest")


class Spaces(NamedTuple):
    """Where vectors go; None where passages or parts of pictures get none."""

    asset: EmbeddingSpace
    passage: EmbeddingSpace | None
    region: EmbeddingSpace | None = None


class AssetRow(NamedTuple):
    """A picture, and the source that it is of."""

    id: str
    source_id: int
    work: Work
    draft: AssetDraft


class PassageRow(NamedTuple):
    """A passage, and where it stands."""

    source_id: int
    asset_id: str | None
    draft: PassageDraft


class RegionRow(NamedTuple):
    """A part of a picture."""

    asset_id: str
    draft: RegionDraft


def metadata_of(work: Work) -> dict[str, object]:
    """What the sidecar says."""
    return dict(work.found.sidecar.metadata) if work.found.sidecar else {}


@dataclass(slots=True)
class Rows:
    """What a batch adds."""

    assets: list[AssetRow] = field(default_factory=list)
    regions: list[RegionRow] = field(default_factory=list)
    passages: list[PassageRow] = field(default_factory=list)

    async def copy(self, connection: Connection, collection_id: int, spaces: Spaces) -> None:
        """Write everything."""
        if self.assets:
            await self._copy_assets(connection, collection_id, spaces.asset)
        if self.regions:
            await self._copy_regions(connection, collection_id, spaces.region)
        if self.passages:
            await self._copy_passages(connection, collection_id, spaces.passage)

    async def _copy_assets(self, connection: Connection, collection_id: int, space: EmbeddingSpace) -> None:
        rows = (_asset_values(row, collection_id) for row in self.assets)
        await _copy(connection, _SQL["copy_assets"], rows)
        thumbnails = (
            (row.id, row.draft.thumbnail, *row.draft.thumbnail_size) for row in self.assets
        )
        types = ["text", "bytea", "int4", "int4"]
        await _copy(connection, _SQL["copy_thumbnails"], thumbnails, types)
        vectors: list[tuple[Key, Vector]] = [
            ((row.id, None, None), row.draft.vector)
            for row in self.assets
            if row.draft.vector is not None
        ]
        await _copy_vectors(connection, collection_id, space, vectors)

    async def _copy_regions(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace | None
    ) -> None:
        ids = await _ids(connection, "region_ids", len(self.regions))
        numbered = list(zip(ids, self.regions, strict=True))
        rows = (
            (id_, row.asset_id, d.kind, d.ordinal, *d.box, d.label, d.score)
            for id_, row in numbered
            for d in (row.draft,)
        )
        await _copy(connection, _SQL["copy_regions"], rows)
        if space is not None:
            vectors: list[tuple[Key, Vector]] = [
                ((row.asset_id, id_, None), row.draft.vector)
                for id_, row in numbered
                if row.draft.vector is not None
            ]
            await _copy_vectors(connection, collection_id, space, vectors)

    async def _copy_passages(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace | None
    ) -> None:
        ids = await _ids(connection, "passage_ids", len(self.passages))
        numbered = list(zip(ids, self.passages, strict=True))
        rows = (_passage_values(id_, row, collection_id) for id_, row in numbered)
        await _copy(connection, _SQL["copy_passages"], rows)
        postings = (
            (term, id_, frequency)
            for id_, row in numbered
            if row.draft.analysis is not None
            for term, frequency in row.draft.analysis.frequencies.items()
        )
        await _copy(connection, _SQL["copy_postings"], postings, ["text", "int8", "int2"])
        if space is not None:
            vectors: list[tuple[Key, Vector]] = [
                ((row.asset_id, None, id_), row.draft.vector)
                for id_, row in numbered
                if row.draft.vector is not None
            ]
            await _copy_vectors(connection, collection_id, space, vectors)


async def _ids(connection: Connection, block: str, count: int) -> list[int]:
    cursor = await connection.execute(_SQL[block], {"count": count})
    return [int(row[0]) for row in await cursor.fetchall()]


async def _copy(
    connection: Connection,
    statement: LiteralString | sql.Composed,
    rows: Iterable[Sequence[object]],
    types: Sequence[str] | None = None,
) -> None:
    """``types`` are for the binary format."""
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        if types is not None:
            copy.set_types(types)
        for row in rows:
            await copy.write_row(row)


async def _copy_vectors(
    connection: Connection, collection_id: int, space: EmbeddingSpace, rows: Sequence[tuple[Key, Vector]]
) -> None:
    if not rows:
        return
    data = embedding_rows(space.id, collection_id, rows)
    async with (
        connection.cursor() as cursor,
        cursor.copy(space.compose(_SQL["copy_embeddings"])) as copy,
    ):
        await copy.write(data)


def _asset_values(row: AssetRow, collection_id: int) -> tuple[object, ...]:
    work, draft = row.work, row.draft
    stored = draft.stored
    captured = work.captured
    offset = timedelta(seconds=draft.frame_seconds or 0.0)
    return (
        row.id,
        collection_id,
        row.source_id,
        draft.kind,
        draft.ordinal,
        draft.page,
        draft.frame_seconds,
        work.location if stored is None else f"object:{stored.hex()}",
        work.content_key if stored is None else stored,
        draft.width,
        draft.height,
        captured.at + offset if captured else None,
        captured.local + offset if captured and captured.local else None,
        work.found.sidecar.caption if work.found.sidecar else None,
        Jsonb(metadata_of(work)),
        draft.perceptual_hash,
    )


def _passage_values(id_: int, row: PassageRow, collection_id: int) -> tuple[object, ...]:
    draft = row.draft
    if draft.analysis is None:
        raise ValueError("a passage is analysed before it is written")
    return (
        id_,
        collection_id,
        row.source_id,
        row.asset_id,
        draft.kind,
        draft.ordinal,
        draft.text,
        draft.analysis.language,
        draft.page,
        draft.start_seconds,
        draft.end_seconds,
        draft.char_start,
        draft.char_end,
        *(draft.box or (None, None, None, None)),
        draft.confidence,
        draft.analysis.tsvector,
        draft.analysis.token_count,
    )
