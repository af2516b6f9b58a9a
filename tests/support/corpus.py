"""Assets with captions and OCR lines, written as ingest does, with real vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pgvector import HalfVector
from PIL import Image
from psycopg.types.json import Jsonb

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.ingest.embed.reliability_stage import measure_reliability
from sightline.storage.interfaces import ImageEncoder, Vectors
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.text.analyzer import analyze, vocabulary
from sightline.storage.types import Level

Box = tuple[float, float, float, float]


def id_of(name: str) -> str:
    """Return the asset id of a name."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


class Corpus:
    """Collections of a database; all images, captions and lines have vectors."""

    def __init__(self, database: Database, encoder: ImageEncoder) -> None:
        self.database = database
        self.encoder = encoder

    async def add(
        self,
        name: str,
        *,
        collection: str = "album",
        picture: Image.Image | None = None,
        caption: str | None = None,
        lines: Sequence[tuple[str, Box]] = (),
        document: Sequence[tuple[str, Box]] = (),
        tiles: Sequence[tuple[Image.Image, Box]] = (),
        metadata: Mapping[str, Any] | None = None,
        captured_at: datetime | None = None,
        captured_local: datetime | None = None,
        perceptual_hash: int | None = None,
        kind: str = "image",
        page: int | None = None,
    ) -> str:
        """A picture; grey when none is given. Returns its id.

        Each of ``lines`` is a passage, ``document`` are the lines of one.
        """
        shown = picture or Image.new("RGB", (32, 32), "grey")
        async with self.database.connection() as connection:
            owner = await collections.ensure(connection, collection)
            source = await self._source(connection, owner, name, "image", {})
            id_ = id_of(name)
            await connection.execute(
                "INSERT INTO asset (id, collection_id, source_id, kind, page, location, sha256, "
                "width, height, captured_at, captured_local, caption, metadata, perceptual_hash, "
                "symmetric_hash) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(id_, owner.id, source, kind, page, f"file:/{name}"),
                    *(hashlib.sha256(name.encode()).digest(), shown.width, shown.height),
                    *(captured_at, captured_local, caption, Jsonb(dict(metadata or {}))),
                    perceptual_hash,
                    None if perceptual_hash is None else 0,
                ],
            )
            (vector,) = await self.encoder.encode_images([self.encoder.preprocess(shown)])
            await self._vector(connection, owner, "asset", vector, asset_id=id_)
            for place, (tile, box) in enumerate(tiles):
                row = await (
                    await connection.execute(
                        "INSERT INTO region (asset_id, kind, ordinal, x0, y0, x1, y1) "
                        "VALUES (%s, 'tile', %s, %s, %s, %s, %s) RETURNING id",
                        [id_, place, *box],
                    )
                ).fetchone()
                assert row is not None
                (vector,) = await self.encoder.encode_images([self.encoder.preprocess(tile)])
                await self._vector(
                    connection, owner, "region", vector, asset_id=id_, region_id=row[0]
                )
            if caption:
                await self._passage(connection, owner, source, "caption", caption, asset_id=id_)
            for text, box in lines:
                await self._passage(connection, owner, source, "ocr", text, asset_id=id_, box=box)
            if document:
                text = "\n".join(line for line, _ in document)
                page_box = (0.0, 0.0, 1.0, 1.0)
                await self._passage(
                    connection, owner, source, "ocr", text, asset_id=id_, box=page_box
                )
            for place, (text, box) in enumerate(document):
                await connection.execute(
                    "INSERT INTO region (asset_id, kind, ordinal, x0, y0, x1, y1, label) "
                    "VALUES (%s, 'ocr_line', %s, %s, %s, %s, %s, %s)",
                    [id_, place, *box, text],
                )
        return id_

    async def add_text(
        self,
        name: str,
        chunks: Sequence[str],
        *,
        collection: str = "album",
        metadata: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """A text file of chunks, with no picture. Returns the passages' ids."""
        async with self.database.connection() as connection:
            owner = await collections.ensure(connection, collection)
            source = await self._source(connection, owner, name, "text", metadata or {})
            return [
                await self._passage(
                    connection, owner, source, "chunk", text, asset_id=None, ordinal=ordinal
                )
                for ordinal, text in enumerate(chunks)
            ]

    async def measure_reliability(self, collection: str = "album") -> None:
        """Measure how reliable the encoder is, as the end of an ingest does."""
        async with self.database.connection() as connection:
            space = await embedding_spaces.get_or_create(connection, self.encoder.identity, "asset")
            owner = await collections.get(connection, collection)
        await measure_reliability(self.database, space, owner.id, self.encoder, added=0)

    async def _source(
        self,
        connection: Connection,
        owner: Collection,
        name: str,
        kind: str,
        metadata: Mapping[str, Any],
    ) -> int:
        row = await (
            await connection.execute(
                "INSERT INTO source (collection_id, content_key, name, location, kind, metadata, "
                "state) VALUES (%s, %s, %s, %s, %s, %s, 'done') RETURNING id",
                [
                    *(owner.id, hashlib.sha256(name.encode()).digest(), name, f"file:/{name}"),
                    *(kind, Jsonb(dict(metadata))),
                ],
            )
        ).fetchone()
        assert row is not None
        return int(row[0])

    async def _passage(
        self,
        connection: Connection,
        owner: Collection,
        source: int,
        kind: str,
        text: str,
        *,
        asset_id: str | None,
        ordinal: int = 0,
        box: Box | None = None,
    ) -> int:
        analysis = analyze(text)
        row = await (
            await connection.execute(
                "INSERT INTO passage (collection_id, source_id, asset_id, kind, ordinal, text, "
                "language, x0, y0, x1, y1, tokens, token_count) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::tsvector, %s) "
                "RETURNING id",
                [
                    *(owner.id, source, asset_id, kind, ordinal, text, analysis.language),
                    *(box or (None,) * 4),
                    *(analysis.tsvector, analysis.token_count),
                ],
            )
        ).fetchone()
        assert row is not None
        await connection.execute(
            "INSERT INTO posting (term, passage_id, frequency) "
            "SELECT term, %s, frequency FROM unnest(%s::text[], %s::smallint[]) "
            "AS t (term, frequency)",
            [row[0], list(analysis.frequencies), list(analysis.frequencies.values())],
        )
        words = vocabulary(analysis.words, analysis.frequencies)
        await connection.execute(
            "INSERT INTO vocabulary SELECT %s, word, term "
            "FROM unnest(%s::text[], %s::text[]) AS t (word, term) ON CONFLICT DO NOTHING",
            [owner.id, list(words), list(words.values())],
        )
        (vector,) = await self.encoder.encode_texts([text])
        await self._vector(
            connection, owner, "passage", vector, asset_id=asset_id, passage_id=row[0]
        )
        return int(row[0])

    async def _vector(
        self,
        connection: Connection,
        owner: Collection,
        level: Level,
        vector: Vectors,
        *,
        asset_id: str | None = None,
        region_id: int | None = None,
        passage_id: int | None = None,
    ) -> None:
        space: EmbeddingSpace = await embedding_spaces.get_or_create(
            connection, self.encoder.identity, level
        )
        await embedding_spaces.assign(connection, owner.id, space)
        await connection.execute(
            "INSERT INTO embedding VALUES (%s, %s, %s, %s, %s, %b)",
            [space.id, owner.id, asset_id, region_id, passage_id, HalfVector(vector)],
        )
