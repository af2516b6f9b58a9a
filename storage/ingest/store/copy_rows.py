"""Copy the rows of a batch into their tables, referenced tables first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from typing import LiteralString, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.ingest.stage_types import (
    AnalyzedPassage,
    AssetDraft,
    DecodedSource,
    Embedded,
    RegionDraft,
    Vector,
    file_of,
)
from sightline.storage.records.embedding_spaces import EmbeddingSpace

_SQL = load_sql("ingest")
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the extension
_COPY_TRAILER = b"\xff\xff"
_MAX_HALF = 65504.0

EmbeddingKey = tuple[str | None, int | None, int | None]
"""Ids of asset, region and passage."""


class TargetSpaces(NamedTuple):
    """The embedding spaces of a collection; None if passages or tiles get no vectors."""

    asset: EmbeddingSpace
    passage: EmbeddingSpace | None
    region: EmbeddingSpace | None = None


class AssetRow(NamedTuple):
    """A new asset of a source."""

    id: str
    source_id: int
    decoded: DecodedSource
    asset: Embedded[AssetDraft]


class RegionRow(NamedTuple):
    """A new region of an asset."""

    asset_id: str
    region: Embedded[RegionDraft]


class PassageRow(NamedTuple):
    """A new passage of a source, and the asset that it describes."""

    source_id: int
    asset_id: str | None
    passage: AnalyzedPassage


@dataclass(slots=True)
class BatchRows:
    """The new rows of a batch."""

    assets: list[AssetRow] = field(default_factory=list)
    regions: list[RegionRow] = field(default_factory=list)
    passages: list[PassageRow] = field(default_factory=list)

    async def copy(self, connection: Connection, collection_id: int, spaces: TargetSpaces) -> None:
        """Write all rows."""
        if self.assets:
            await self._copy_assets(connection, collection_id, spaces.asset)
        if self.regions:
            await self._copy_regions(connection, collection_id, spaces.region)
        if self.passages:
            await self._copy_passages(connection, collection_id, spaces.passage)

    async def _copy_assets(
        self, connection: Connection, collection_id: int, space: EmbeddingSpace
    ) -> None:
        rows = (_asset_values(row, collection_id) for row in self.assets)
        await _copy(connection, _SQL["copy_assets"], rows)
        drafts = [(row.id, row.asset.draft) for row in self.assets]
        thumbnails = ((id_, draft.thumbnail, *draft.thumbnail_size) for id_, draft in drafts)
        types = ["text", "bytea", "int4", "int4"]
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
            for term, frequency in row.passage.analysis.frequencies.items()
        )
        await _copy(connection, _SQL["copy_postings"], postings, ["text", "int8", "int2"])
        vectors = [((row.asset_id, None, id_), row.passage.vector) for id_, row in numbered]
        await _copy_vectors(connection, collection_id, space, vectors)


def embedding_rows(
    embedding_space_id: int, collection_id: int, rows: Sequence[tuple[EmbeddingKey, Vector]]
) -> bytes:
    """Return a binary COPY of ``embedding`` for keys and vectors, packed by numpy.

    Twenty times as fast as adapting row by row. Asset ids are 12 ASCII characters.
    """
    keys = [key for key, _ in rows]
    vectors = np.stack([vector for _, vector in rows])
    # A record array needs rows with the same null columns.
    groups = (
        _pack_group(embedding_space_id, collection_id, keys, vectors, present)
        for present in product((False, True), repeat=3)
    )
    return b"".join([_COPY_HEADER, *groups, _COPY_TRAILER])


def _pack_group(
    embedding_space_id: int,
    collection_id: int,
    keys: Sequence[EmbeddingKey],
    vectors: NDArray[np.float32],
    present: tuple[bool, ...],
) -> bytes:
    """Pack the rows whose key has exactly the ids in ``present``."""
    chosen = [
        index for index, key in enumerate(keys) if tuple(id_ is not None for id_ in key) == present
    ]
    if not chosen:
        return b""
    dimension = vectors.shape[1]
    key_columns = (("asset", "S12", 12), ("region", ">i8", 8), ("passage", ">i8", 8))
    fields = [("columns", ">i2"), ("l0", ">i4"), ("space", ">i4"), ("l1", ">i4"), ("coll", ">i4")]
    for (name, kind, _), is_present in zip(key_columns, present, strict=True):
        fields += [(f"{name}_length", ">i4"), *([(name, kind)] if is_present else [])]
    fields += [("l5", ">i4"), ("dimension", ">i2"), ("unused", ">i2")]
    rows = np.zeros(len(chosen), dtype=[*fields, ("vector", ">f2", (dimension,))])
    rows["columns"] = 6
    rows["l0"] = rows["l1"] = 4
    rows["space"], rows["coll"] = embedding_space_id, collection_id
    for column, ((name, _, size), is_present) in enumerate(zip(key_columns, present, strict=True)):
        rows[f"{name}_length"] = size if is_present else -1
        if is_present:
            rows[name] = [keys[index][column] for index in chosen]
    rows["l5"] = 4 + 2 * dimension
    rows["dimension"] = dimension
    rows["vector"] = np.clip(vectors[chosen], -_MAX_HALF, _MAX_HALF)
    return rows.tobytes()


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
        for row in rows:
            await copy.write_row(row)


async def _copy_vectors(
    connection: Connection,
    collection_id: int,
    space: EmbeddingSpace | None,
    rows: Sequence[tuple[EmbeddingKey, Vector | None]],
) -> None:
    present = [(key, vector) for key, vector in rows if vector is not None]
    if space is None or not present:
        return
    statement = space.compose(_SQL["copy_embeddings"])
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(embedding_rows(space.id, collection_id, present))


def _asset_values(row: AssetRow, collection_id: int) -> tuple[object, ...]:
    decoded, draft = row.decoded, row.asset.draft
    hashed, captured = decoded.source.hashed, decoded.captured
    sidecar = file_of(decoded).sidecar
    offset = timedelta(seconds=draft.frame_seconds or 0.0)
    location, sha256 = hashed.location, hashed.content_key
    if draft.content_sha256 is not None:
        location, sha256 = f"object:{draft.content_sha256.hex()}", draft.content_sha256
    return (
        *(row.id, collection_id, row.source_id, draft.kind, draft.ordinal, draft.page),
        *(draft.frame_seconds, location, sha256, draft.width, draft.height),
        captured.at + offset if captured else None,
        captured.local + offset if captured and captured.local else None,
        sidecar.caption if sidecar else None,
        Jsonb(dict(sidecar.metadata) if sidecar else {}),
        draft.perceptual_hash,
    )


def _region_values(id_: int, row: RegionRow) -> tuple[object, ...]:
    draft = row.region.draft
    return (id_, row.asset_id, draft.kind, draft.ordinal, *draft.box, draft.label, draft.score)


def _passage_values(id_: int, row: PassageRow, collection_id: int) -> tuple[object, ...]:
    draft, analysis = row.passage.draft, row.passage.analysis
    seconds = (draft.start_seconds, draft.end_seconds)
    chars = (draft.char_start, draft.char_end)
    box = draft.box or (None, None, None, None)
    return (
        *(id_, collection_id, row.source_id, row.asset_id, draft.kind, draft.ordinal, draft.text),
        *(analysis.language, draft.page, *seconds, *chars, *box, draft.confidence),
        *(analysis.tsvector, analysis.token_count),
    )
