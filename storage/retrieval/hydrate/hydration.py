"""From keys to what a result shows: passages, regions, vectors and hashes of what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from psycopg import sql

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.interfaces import Vectors
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.retrieval.hydrate.ocr_match_box import pinpoint
from sightline.storage.retrieval.hydrate.snippets import snippet
from sightline.storage.retrieval.search_types import FoundRegion, Passage

_SQL = sql_loader.load("retrieval")


async def passages(
    connection: Connection, ids: Iterable[int], terms: tuple[str, ...]
) -> dict[int, Passage]:
    """Those of the passages that exist, by id; snippets are cut around ``terms``, and so are the
    boxes of what was read in pictures.
    """
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    cursor = await connection.execute(_SQL["passage_records"], {"ids": wanted})
    found: dict[int, Passage] = {}
    for row in await cursor.fetchall():
        id_, kind, text, language, source, collection, asset_id, page, *rest = row
        x0, y0, x1, y1, start, end, char_start, char_end, confidence = rest
        found[id_] = Passage(
            id=id_,
            kind=kind,
            text=text,
            snippet=snippet(text, terms),
            language=language,
            source=source,
            collection=collection,
            asset_id=asset_id,
            page=page,
            box=None if x0 is None else (x0, y0, x1, y1),
            start_seconds=start,
            end_seconds=end,
            char_start=char_start,
            char_end=char_end,
            confidence=confidence,
        )
    return await pinpoint(connection, found.values(), terms)


async def regions(connection: Connection, ids: Iterable[int]) -> dict[int, FoundRegion]:
    """Those of the regions that exist, by id."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    cursor = await connection.execute(_SQL["region_records"], {"ids": wanted})
    return {
        id_: FoundRegion(id_, kind, (x0, y0, x1, y1), label)
        for id_, kind, x0, y0, x1, y1, label in await cursor.fetchall()
    }


async def vectors(connection: Connection, space: EmbeddingSpace, ids: Sequence[str]) -> dict[str, Vectors]:
    """Vectors of whole assets by id, float32 of shape (dimension,); those that the space has."""
    if not ids:
        return {}
    statement = sql.SQL(_SQL["vectors_of_assets"]).format(
        dimension=sql.Literal(space.identity.dimension),
        partition=sql.Identifier(space.partition),
    )
    cursor = await connection.execute(statement, {"ids": list(ids)}, binary=True)
    return {
        id_: np.asarray(vector.to_numpy(), dtype=np.float32)
        for id_, vector in await cursor.fetchall()
    }


async def matrix(connection: Connection, space: EmbeddingSpace, ids: Sequence[str]) -> Vectors:
    """The same in the order of ``ids``, of shape (len(ids), dimension); zeros where none is."""
    found = await vectors(connection, space, ids)
    rows = np.zeros((len(ids), space.identity.dimension), dtype=np.float32)
    for place, id_ in enumerate(ids):
        if id_ in found:
            rows[place] = found[id_]
    return rows


async def hashes(connection: Connection, ids: Sequence[str]) -> list[int | None]:
    """Perceptual hashes in the order of ``ids``."""
    cursor = await connection.execute(_SQL["perceptual_hashes"], {"ids": list(ids)})
    found = {str(id_): int(value) for id_, value in await cursor.fetchall()}
    return [found.get(id_) for id_ in ids]
