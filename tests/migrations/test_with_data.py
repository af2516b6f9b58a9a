"""Every schema version is upgraded and downgraded with data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sightline.server.database import schema_migration
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.maintenance.integrity_check import check

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"
REVISIONS = sorted(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))

# Rows for the tables of version 0001.
DATA = b"""
SET search_path = pg_catalog, sightline_vector;
INSERT INTO sightline.collection (name, settings) VALUES ('album', '{"ocr": "off"}');
INSERT INTO sightline.embedding_space (encoder, weights, preprocessing, dimension, level)
VALUES ('small', 'aa', 'cc', 2, 'asset'), ('small', 'aa', 'cc', 2, 'passage');
INSERT INTO sightline.collection_embedding_space VALUES (1, 'asset', 1), (1, 'passage', 2);
INSERT INTO sightline.kept_embedding_space VALUES (1, 'asset', 'previous', 1);
INSERT INTO sightline.encoder_reliability VALUES (1, 1, 'image', 0.9, 0.2, 1, 1);
CREATE TABLE sightline.embedding_1 (
    LIKE sightline.embedding INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CHECK (embedding_space_id = 1));
CREATE TABLE sightline.embedding_2 (
    LIKE sightline.embedding INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CHECK (embedding_space_id = 2));
ALTER TABLE sightline.embedding ATTACH PARTITION sightline.embedding_1 FOR VALUES IN (1);
ALTER TABLE sightline.embedding ATTACH PARTITION sightline.embedding_2 FOR VALUES IN (2);
CREATE INDEX embedding_1_hnsw ON sightline.embedding_1
USING hnsw ((embedding::halfvec(2)) halfvec_cosine_ops);
CREATE INDEX embedding_2_hnsw ON sightline.embedding_2
USING hnsw ((embedding::halfvec(2)) halfvec_cosine_ops);
INSERT INTO sightline.source (
    id, collection_id, content_key, name, location, kind, mime_type, byte_size, state)
VALUES (1, 1, sha256('a'), 'a.jpg', 'file:/dev/null', 'image', 'image/jpeg', 3, 'done');
INSERT INTO sightline.source (collection_id, content_key, name, location, kind, state, error)
VALUES (1, sha256('b'), 'b.jpg', 'file:/nowhere', 'unknown', 'failed', 'is broken');
INSERT INTO sightline.asset (
    id, collection_id, source_id, kind, location, sha256, width, height, captured_at,
    captured_local, caption, metadata, perceptual_hash, reading)
VALUES ('aaaaaaaaaaaa', 1, 1, 'image', 'file:/dev/null', sha256('a'), 64, 48,
    '2026-05-01 14:40+00', '2026-05-01 16:40', 'red apple', '{"price": 3}', -7,
    'scan');
INSERT INTO sightline.thumbnail VALUES ('aaaaaaaaaaaa', 'jpeg', 64, 48);
INSERT INTO sightline.picture_pair VALUES (1, 'aaaaaaaaaaaa', 'bbbbbbbbbbbb');
INSERT INTO sightline.region (asset_id, kind, x0, y0, x1, y1, label, score)
VALUES ('aaaaaaaaaaaa', 'ocr_line', 0, 0, 1, 1, 'sign', 0.5);
INSERT INTO sightline.passage (
    id, collection_id, source_id, asset_id, kind, text, language, tokens, token_count)
VALUES (1, 1, 1, 'aaaaaaaaaaaa', 'caption', 'red apple', 'en', '''apple'':2 ''red'':1', 2);
INSERT INTO sightline.posting VALUES ('red', 1, 1), ('apple', 1, 1);
INSERT INTO sightline.vocabulary VALUES (1, 'red', 'red'), (1, 'apple', 'apple');
INSERT INTO sightline.embedding (embedding_space_id, collection_id, asset_id, passage_id, embedding)
VALUES (1, 1, 'aaaaaaaaaaaa', NULL, '[0.6,0.8]'), (2, 1, 'aaaaaaaaaaaa', 1, '[1,0]');
INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, score, origin, model, author)
VALUES ('aaaaaaaaaaaa', 'apple', 0.1, 0.2, 0.3, 0.4, 0.9, 'model', 'm', 'alice');
INSERT INTO sightline.retrieval_log (tool, query, total_ms, result_count)
VALUES ('search_images', 'apple', 3.5, 1);
INSERT INTO sightline.cluster (
    embedding_space_id, collection_id, k, number, asset_count, representative_asset_id,
    mean_distance, analyzed_at)
VALUES (1, 1, 1, 0, 1, 'aaaaaaaaaaaa', 0, '2026-05-01Z');
INSERT INTO sightline.cluster_member VALUES (1, 1, 1, 0, 'aaaaaaaaaaaa', 0);
INSERT INTO sightline.compared_asset VALUES (1, 1, 'aaaaaaaaaaaa');
INSERT INTO sightline.near_duplicate VALUES (1, 1, 'aaaaaaaaaaaa', 'aaaaaaaaaaaa', 0);
INSERT INTO sightline.principal (name) VALUES ('alice');
INSERT INTO sightline.principal (name, all_collections) VALUES ('boss', true);
INSERT INTO sightline.collection_binding VALUES (1, 1);
"""


def read_rows(dsn: str, like: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Return all rows by table; only the columns of ``like`` if given."""
    with psycopg.connect(dsn) as connection:
        columns = like or dict(
            connection.execute(
                "SELECT relname::text, array_agg(attname::text ORDER BY attnum) "
                "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
                "WHERE relnamespace = 'sightline'::regnamespace AND relkind IN ('r', 'p') "
                "AND attnum > 0 AND NOT attisdropped AND relname <> 'schema_version' "
                "GROUP BY relname"
            ).fetchall()
        )
        rows = {}
        for table, names in columns.items():
            listed = sql.SQL(", ").join(
                sql.SQL("{}::text").format(sql.Identifier(name)) for name in names
            )
            rows[table] = connection.execute(
                sql.SQL("SELECT {} FROM sightline.{} ORDER BY 1").format(
                    listed, sql.Identifier(table)
                )
            ).fetchall()
        return {"columns": columns, "rows": rows}


def insert_data(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(DATA)


@pytest.mark.parametrize(
    "revision",
    [
        # The first and last versions run in the normal suite, the others in the slow one.
        pytest.param(
            each, marks=() if each in (*REVISIONS[:2], REVISIONS[-1]) else pytest.mark.slow
        )
        for each in REVISIONS
    ],
)
async def test_data_of_each_version_survives_upgrade_and_downgrade(
    empty_dsn: str, revision: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    schema_migration.upgrade(empty_dsn, revision)
    assert schema_migration.current(empty_dsn) == revision
    insert_data(empty_dsn)
    before = read_rows(empty_dsn)
    assert all(before["rows"][table] for table in ("asset", "posting", "embedding", "annotation"))
    schema_migration.upgrade(empty_dsn)
    schema_migration.require_head(empty_dsn)
    assert read_rows(empty_dsn, before["columns"]) == before
    database = await Database.open(empty_dsn)
    findings = await check(database, BlobStore(tmp_path_factory.mktemp("data")))
    await database.close()
    assert [finding for finding in findings if finding.severity == "error"] == []
    schema_migration.downgrade(empty_dsn, revision)
    assert read_rows(empty_dsn) == before
    schema_migration.upgrade(empty_dsn)
    assert read_rows(empty_dsn, before["columns"]) == before


def test_a_database_with_data_goes_down_to_base_and_up_again(empty_dsn: str) -> None:
    schema_migration.upgrade(empty_dsn)
    empty = read_rows(empty_dsn)
    insert_data(empty_dsn)
    filled = read_rows(empty_dsn)
    schema_migration.downgrade(empty_dsn, "base")
    assert schema_migration.current(empty_dsn) is None
    schema_migration.upgrade(empty_dsn)
    again = read_rows(empty_dsn)
    # Ids of another installation are permuted by another key.
    assert again["rows"].pop("id_key") != empty["rows"].pop("id_key")
    assert again == empty
    insert_data(empty_dsn)
    assert read_rows(empty_dsn)["columns"] == filled["columns"]


def test_every_table_has_a_row_in_the_data(empty_dsn: str) -> None:
    schema_migration.upgrade(empty_dsn)
    insert_data(empty_dsn)
    assert [table for table, rows in read_rows(empty_dsn)["rows"].items() if not rows] == []


def test_tables_and_columns_for_analysts_have_comments(empty_dsn: str) -> None:
    schema_migration.upgrade(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        missing = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') "
            "AND relnamespace IN ('sightline'::regnamespace, 'analytics'::regnamespace) "
            "AND relname <> 'schema_version' AND obj_description(oid, 'pg_class') IS NULL"
        ).fetchall()
    assert missing == []


def test_the_parametrized_versions_are_complete() -> None:
    assert schema_migration.head() == REVISIONS[-1]
    assert REVISIONS[0] == "0001"
