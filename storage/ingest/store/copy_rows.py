"""Copy the rows of a batch into their tables, referenced tables first."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import LiteralString, NamedTuple

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.worker.worker_protocol import PackedAnalysis
from sightline.storage.ingest.metadata.embedded_metadata import NamedRegion
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.text.analyzer import vocabulary

_SQL = load_sql("ingest")
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the extension
_COPY_TRAILER = b"\xff\xff"
# A row is the number of its columns and their values, each with its length; -1 is null.
_ROW_START, _LENGTH, _BIGINT = struct.Struct(">hiiii"), struct.Struct(">i"), struct.Struct(">iq")
_VECTOR_START = struct.Struct(">ihh")  # a halfvec: dimension, an unused field, values
_NULL = _LENGTH.pack(-1)
_MAX_HALF = 65504.0
_ROWS_PER_TURN = 64

EmbeddingKey = tuple[str | None, int | None, int | None]
"""Ids of asset, region and passage."""


class TargetSpaces(NamedTuple):
    """The embedding spaces of a collection; None if passages or tiles get no vectors."""

    asset: EmbeddingSpace
    passage: EmbeddingSpace | None
    region: EmbeddingSpace | None = None


class AssetRow(NamedTuple):
    id: str
    source_id: int
    decoded: stages.DecodedSource
    asset: stages.Embedded[stages.AssetDraft]


class RegionRow(NamedTuple):
    asset_id: str
    region: stages.Embedded[stages.RegionDraft]


class PassageRow(NamedTuple):
    source_id: int
    asset_id: str | None
    passage: stages.AnalyzedPassage


class AnnotationRow(NamedTuple):
    asset_id: str
    region: NamedRegion


@dataclass(slots=True)
class BatchRows:
    """The new rows of a batch."""

    assets: list[AssetRow] = field(default_factory=list)
    annotations: list[AnnotationRow] = field(default_factory=list)
    regions: list[RegionRow] = field(default_factory=list)
    passages: list[PassageRow] = field(default_factory=list)

    async def copy(self, connection: Connection, collection_id: int, spaces: TargetSpaces) -> None:
        if self.assets:
            await self._copy_assets(connection, collection_id, spaces.asset)
        if self.annotations:
            rows = (
                (row.asset_id, row.region.label, *(row.region.box or ()), "file")
                for row in self.annotations
            )
            await _copy(connection, _SQL["copy_annotations"], rows)
        if self.regions:
            await self._copy_regions(connection, collection_id, spaces.region)
        if self.passages:
            await self._copy_passages(connection, collection_id, spaces.passage)

    async def _copy_assets(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace
    ) -> None:
        rows = (_asset_values(row, collection_id) for row in self.assets)
        await _copy(connection, _SQL["copy_assets"], rows)
        parts = ((row.id, row.asset.draft.part) for row in self.assets)
        thumbnails = (
            (id_, part.thumbnail, *part.thumbnail_size, part.local_hashes) for id_, part in parts
        )
        types = ["text", "bytea", "int4", "int4", "bytea"]
        await _copy(connection, _SQL["copy_thumbnails"], thumbnails, types)
        vectors = [((row.id, None, None), row.asset.vector) for row in self.assets]
        await _copy_vectors(connection, collection_id, space, vectors)

    async def _copy_regions(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace | None
    ) -> None:
        ids = await fetch_values(connection, _SQL["region_ids"], {"count": len(self.regions)})
        numbered = list(zip(ids, self.regions, strict=True))
        rows = (_region_values(id_, row) for id_, row in numbered)
        await _copy(connection, _SQL["copy_regions"], rows)
        vectors = [((row.asset_id, id_, None), row.region.vector) for id_, row in numbered]
        await _copy_vectors(connection, collection_id, space, vectors)

    async def _copy_passages(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace | None
    ) -> None:
        ids = await fetch_values(connection, _SQL["passage_ids"], {"count": len(self.passages)})
        numbered = list(zip(ids, self.passages, strict=True))
        rows = (_passage_values(id_, row, collection_id) for id_, row in numbered)
        await _copy(connection, _SQL["copy_passages"], rows)
        postings = (
            (term, id_, frequency)
            for id_, row in numbered
            for term, frequency in _terms(row.passage.analysis)
        )
        await _copy(connection, _SQL["copy_postings"], postings, ["text", "int8", "int2"])
        analyses = [row.passage.analysis for row in self.passages]
        words = vocabulary(
            {word for each in analyses for word in each.words.split("\n") if word},
            {term for each in analyses for term in each.terms.split("\n")},
        )
        params = {"id": collection_id, "words": list(words), "terms": list(words.values())}
        await connection.execute(_SQL["insert_vocabulary"], params)
        vectors = [((row.asset_id, None, id_), row.passage.vector) for id_, row in numbered]
        await _copy_vectors(connection, collection_id, space, vectors)


def embedding_rows(
    embedding_space_id: int,
    collection_id: int,
    rows: Sequence[tuple[EmbeddingKey, stages.Vector]],
) -> bytes:
    """Return a binary COPY of ``embedding``, much faster than adapting every value."""
    start = _ROW_START.pack(6, 4, embedding_space_id, 4, collection_id)
    halves = np.clip(np.stack([vector for _, vector in rows]), -_MAX_HALF, _MAX_HALF).astype(">f2")
    dimension = halves.shape[1]
    vector_start = _VECTOR_START.pack(4 + 2 * dimension, dimension, 0)
    pieces = [_COPY_HEADER]
    for (asset, region, passage), half in zip((key for key, _ in rows), halves, strict=True):
        pieces += (start, _NULL if asset is None else _LENGTH.pack(len(asset)) + asset.encode())
        pieces += (_NULL if id_ is None else _BIGINT.pack(8, id_) for id_ in (region, passage))
        pieces += (vector_start, half.tobytes())
    return b"".join([*pieces, _COPY_TRAILER])


async def _copy(
    connection: Connection,
    statement: LiteralString | sql.Composed,
    rows: Iterable[Sequence[object]],
    types: Sequence[str] | None = None,
) -> None:
    """Copy rows; ``types`` are the column types of the binary format."""
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        if types is not None:
            copy.set_types(types)
        for number, row in enumerate(rows):
            await copy.write_row(row)
            if number % _ROWS_PER_TURN == 0:  # a long text has hundreds of thousands of rows
                await asyncio.sleep(0)


async def _copy_vectors(
    connection: Connection,
    collection_id: int,
    space: EmbeddingSpace | None,
    rows: Sequence[tuple[EmbeddingKey, stages.Vector | None]],
) -> None:
    present = [(key, vector) for key, vector in rows if vector is not None]
    if space is None or not present:
        return
    statement = space.compose(_SQL["copy_embeddings"])
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(embedding_rows(space.id, collection_id, present))


def _terms(analysis: PackedAnalysis) -> Iterable[tuple[str, int]]:
    terms = analysis.terms.split("\n") if analysis.terms else []
    return zip(terms, analysis.frequencies, strict=True)


def _asset_values(row: AssetRow, collection_id: int) -> tuple[object, ...]:
    hashed, description = row.decoded.hashed, row.decoded.description
    captured = description.captured
    part, sha256 = row.asset.draft.part, row.asset.draft.content_sha256
    offset = timedelta(seconds=part.frame_seconds or 0.0)
    location = hashed.location if sha256 is None else f"object:{sha256.hex()}"
    return (
        *(row.id, collection_id, row.source_id, part.kind, part.ordinal, part.page),
        *(part.frame_seconds, location, sha256 or hashed.content_key, part.width, part.height),
        captured.at + offset if captured else None,
        captured.local + offset if captured and captured.local else None,
        description.caption,
        Jsonb(dict(description.metadata)),
        *(description.position or (None, None)),
        *(part.hashes or (None, None)),
        row.decoded.readings.get(part.ordinal),
    )


def _region_values(id_: int, row: RegionRow) -> tuple[object, ...]:
    draft = row.region.draft
    return (id_, row.asset_id, draft.kind, draft.ordinal, *draft.box, draft.label, draft.score)


def _passage_values(id_: int, row: PassageRow, collection_id: int) -> tuple[object, ...]:
    draft, analysis = row.passage.draft, row.passage.analysis
    seconds, chars = draft.seconds or (None, None), draft.chars or (None, None)
    box = draft.box or (None, None, None, None)
    return (
        *(id_, collection_id, row.source_id, row.asset_id, draft.kind, draft.ordinal, draft.text),
        *(analysis.language, draft.page, *seconds, *chars, *box, draft.confidence),
        *(analysis.tsvector, analysis.token_count, row.passage.outside_vocabulary),
    )
