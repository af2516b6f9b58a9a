"""A large collection as rows: copies of the pictures of another one, without vectors."""

from __future__ import annotations

import psycopg

_COLLECTION = """
INSERT INTO sightline.collection (name, settings)
SELECT %(name)s, settings FROM sightline.collection WHERE name = %(like)s RETURNING id
"""
_SPACES = """
INSERT INTO sightline.collection_embedding_space
SELECT %(id)s, level, embedding_space_id FROM sightline.collection_embedding_space
JOIN sightline.collection ON collection.id = collection_id AND collection.name = %(like)s
"""
_SOURCES = """
INSERT INTO sightline.source
    (collection_id, content_key, name, location, kind, mime_type, byte_size, state)
SELECT %(id)s, sha256(convert_to(%(name)s || n, 'UTF8')), format('copy-%%s.jpg', n),
    format('file:/copies/copy-%%s.jpg', n), 'image', 'image/jpeg', 1, 'done'
FROM generate_series(1, %(count)s) AS n
"""
_ASSETS = """
WITH original AS (
    SELECT asset.*, row_number() OVER (ORDER BY asset.id) - 1 AS number, count(*) OVER () AS total
    FROM sightline.asset
    JOIN sightline.collection ON collection.id = collection_id AND collection.name = %(like)s
), copy AS (
    SELECT id, substr(name, 6, length(name) - 9)::int AS n
    FROM sightline.source WHERE collection_id = %(id)s
)
INSERT INTO sightline.asset
    (id, collection_id, source_id, kind, location, sha256, width, height, captured_at, caption)
SELECT 'c' || lpad(n::text, 11, '0'), %(id)s, copy.id, 'image', location, sha256, width, height,
    timestamptz '2026-01-01' - n * interval '1 hour', format('copy %%s of %%s', n, caption)
FROM copy JOIN original ON number = n %% total
"""
_THUMBNAILS = """
INSERT INTO sightline.thumbnail (asset_id, jpeg, width, height)
SELECT id, %(jpeg)s, %(width)s, %(height)s FROM sightline.asset WHERE collection_id = %(id)s
"""


def add_copies(
    dsn: str, *, like: str, name: str, count: int, thumbnail: bytes, size: tuple[int, int]
) -> None:
    """Create the collection ``name``; its pictures are those of ``like``, the newest copy first."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(_COLLECTION, {"name": name, "like": like}).fetchone()
        assert row is not None
        width, height = size
        values = {
            "id": row[0],
            "name": name,
            "like": like,
            "count": count,
            "jpeg": thumbnail,
            "width": width,
            "height": height,
        }
        for statement in (_SPACES, _SOURCES, _ASSETS, _THUMBNAILS):
            connection.execute(statement, values)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE sightline.source, sightline.asset, sightline.thumbnail")


def remove(dsn: str, name: str) -> None:
    """Delete a collection with everything in it."""
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM sightline.collection WHERE name = %s", (name,))
