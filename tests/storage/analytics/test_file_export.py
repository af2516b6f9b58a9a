"""Views and queries as files."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from psycopg.conninfo import make_conninfo
from pyarrow import parquet

from sightline.storage.analytics.analyst_roles import QUERY_ROLE
from sightline.storage.analytics.export import export_query, export_view
from sightline.storage.db.pool import Database
from sightline.storage.errors import (
    InvalidArgumentError,
    NotAllowedError,
    StorageError,
    UnknownNameError,
)
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_vector


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_exported_vectors_are_bit_identical(filled: Database, tmp_path: Path) -> None:
    async with filled.connection() as connection:
        cursor = await connection.execute("SELECT asset_id, embedding FROM embedding")
        stored = {
            key: np.asarray(vector.to_numpy(), dtype="<f2")
            for key, vector in await cursor.fetchall()
        }
    path = tmp_path / "vectors.npy"
    assert await export_view(filled, "embeddings", "npy", path) == 48
    matrix = np.load(path)
    keys = [json.loads(line) for line in lines(tmp_path / "vectors.npy.keys.jsonl")]
    assert (matrix.shape, matrix.dtype) == ((48, 8), np.float16)
    for row, key in zip(matrix, keys, strict=True):
        assert row.tobytes() == stored[key["asset_id"]].tobytes()

    assert (
        await export_view(filled, "embeddings", "csv", tmp_path / "e.csv", embedding_space=None)
        == 48
    )
    with (tmp_path / "e.csv").open() as file:
        for record in csv.DictReader(file):
            found = np.array(json.loads(record["embedding"]), dtype=np.float16)
            assert found.tobytes() == stored[record["asset_id"]].tobytes()

    assert await export_view(filled, "embeddings", "jsonl", tmp_path / "e.jsonl") == 48
    for line in lines(tmp_path / "e.jsonl"):
        record = json.loads(line)
        found = np.array(json.loads(record["embedding"]), dtype=np.float16)
        assert found.tobytes() == stored[record["asset_id"]].tobytes()
    assert names(tmp_path) == ["e.csv", "e.jsonl", "vectors.npy", "vectors.npy.keys.jsonl"]


async def test_a_parquet_file_has_types_and_bit_identical_vectors(
    filled: Database, tmp_path: Path
) -> None:
    path = tmp_path / "e.parquet"
    assert await export_view(filled, "embeddings", "parquet", path) == 48
    table = parquet.read_table(path)
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: halffloat>[8]"
    assert str(table.schema.field("embedding_space_id").type) == "int32"
    async with filled.connection() as connection:
        cursor = await connection.execute("SELECT asset_id, embedding FROM embedding")
        stored = {key: vector.to_numpy() for key, vector in await cursor.fetchall()}
    for key, vector in zip(table["asset_id"].to_pylist(), table["embedding"], strict=True):
        assert vector.values.to_numpy().tobytes() == stored[key].astype("<f2").tobytes()

    assert await export_view(filled, "assets", "parquet", tmp_path / "a.parquet") == 50
    assets = parquet.read_table(tmp_path / "a.parquet")
    assert str(assets.schema.field("captured_at").type) == "timestamp[us, tz=UTC]"
    first = assets.sort_by("asset_id").slice(0, 1).to_pylist()[0]
    assert json.loads(first["metadata"]) == {"product": "Onion"}
    assert first["captured_at"] == datetime(2026, 1, 15, tzinfo=UTC)
    assert first["perceptual_hash"] is None
    assert await export_view(filled, "embedding_spaces", "parquet", tmp_path / "s.parquet") == 1
    spaces_ = parquet.read_table(tmp_path / "s.parquet")
    assert spaces_["collections"].to_pylist() == [["album", "other"]]


@pytest.mark.parametrize("view", ["annotations", "cluster_members", "passages", "searches"])
async def test_every_view_is_exported_as_parquet(
    filled: Database, tmp_path: Path, view: str
) -> None:
    rows = await export_view(filled, view, "parquet", tmp_path / "v.parquet")
    assert parquet.read_table(tmp_path / "v.parquet").num_rows == rows


async def test_spaces_of_two_dimensions_fit_into_one_parquet_file(
    filled: Database, tmp_path: Path
) -> None:
    async with filled.connection() as connection:
        identity = EncoderIdentity("another", "1" * 16, "1" * 16, 4)
        space = await embedding_spaces.get_or_create(connection, identity, "asset")
        album = await collections.get(connection, "album")
        await add_vector(connection, album, space, [1, 2, 3, 4], "album0000000")
    assert await export_view(filled, "embeddings", "parquet", tmp_path / "e.parquet") == 49
    rows = parquet.read_table(tmp_path / "e.parquet").to_pylist()
    assert [row["embedding"] for row in rows if row["embedding_space_id"] == 2] == [[1, 2, 3, 4]]
    assert {len(row["embedding"]) for row in rows} == {4, 8}


async def test_invalid_exports_are_refused_with_valid_options(
    filled: Database, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown view 'asset'\. Available: 'annotations'"):
        await export_view(filled, "asset", "csv", tmp_path / "x")
    with pytest.raises(InvalidArgumentError, match=r"the rows have no vectors\. Export the view"):
        await export_view(filled, "assets", "npy", tmp_path / "x")
    with pytest.raises(
        InvalidArgumentError,
        match=r"one embedding space, and no missing.*Available: .*test-encoder",
    ):
        await export_view(filled, "embeddings", "npy", tmp_path / "x", embedding_space=99)
    assert names(tmp_path) == []


async def test_a_view_is_exported_in_parts(filled: Database, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert await export_view(filled, "assets", "csv", path, collection="other") == 20
    parts = {"collection": "album", "level": "asset", "embedding_space": 1}
    assert await export_view(filled, "embeddings", "csv", path, **parts) == 29  # type: ignore[arg-type]
    assert await export_view(filled, "embeddings", "csv", path, level="region") == 0
    path.unlink()
    with pytest.raises(UnknownNameError, match=r"Unknown collection 'x'\. Available: 'album'"):
        await export_view(filled, "assets", "csv", path, collection="x")
    with pytest.raises(InvalidArgumentError, match=r"no column 'level'\. Views with it: 'embeddi"):
        await export_view(filled, "assets", "csv", path, level="asset")
    assert names(tmp_path) == []


async def test_a_query_is_exported_by_the_read_only_login(filled: Database, tmp_path: Path) -> None:
    dsn = make_conninfo(
        filled.dsn, user=QUERY_ROLE, options="-c search_path=analytics,sightline_vector"
    )
    query = """SELECT asset_id AS "the id {}", embedding, captured_at::date AS day, 100%8 AS n,
        count(*) OVER () AS all_rows, 1.5::numeric AS half, avg(distance) AS mean, '{}'::jsonb AS j
    FROM embeddings JOIN assets USING (asset_id) CROSS JOIN LATERAL nearest(asset_id, 2)
        AS near (id, c, distance)
    WHERE assets.collection = 'album' GROUP BY 1, 2, 3 ORDER BY 1;"""
    counts = {
        format_: await export_query(dsn, query, format_, tmp_path / f"q.{format_}")  # type: ignore[arg-type]
        for format_ in ("csv", "jsonl", "npy", "parquet")
    }
    assert counts == dict.fromkeys(counts, 29)
    table = parquet.read_table(tmp_path / "q.parquet")
    first = table.to_pylist()[0]
    vector = np.array(first.pop("embedding"), np.float16)
    assert first.pop("mean") > 0
    assert first == {
        "the id {}": "album0000000",
        "day": datetime(2026, 1, 15, tzinfo=UTC).date(),
        "n": 4,
        "all_rows": 29,
        "half": 1.5,
        "j": "{}",
    }
    matrix = np.load(tmp_path / "q.npy")
    assert matrix[0].tobytes() == vector.tobytes()
    key = json.loads(lines(tmp_path / "q.npy.keys.jsonl")[0])
    assert key["the id {}"] == "album0000000"
    assert "embedding" not in key
    with (tmp_path / "q.csv").open() as file:
        assert next(csv.DictReader(file))["the id {}"] == "album0000000"
    assert json.loads(lines(tmp_path / "q.jsonl")[0])["n"] == 4


async def test_what_is_no_query_is_not_exported(filled: Database, tmp_path: Path) -> None:
    dsn = make_conninfo(
        filled.dsn, user=QUERY_ROLE, options="-c search_path=analytics,sightline_vector"
    )
    for text, error, message in (
        ("DELETE FROM assets", NotAllowedError, "must start with SELECT"),
        ("SELECT 1; SELECT 2", NotAllowedError, "Only one statement"),
        ("SELECT 1) TO PROGRAM 'id' --", InvalidArgumentError, "has no"),
        ("SELECT * FROM pictures", InvalidArgumentError, "pictures"),
        ("TABLE sightline.asset", InvalidArgumentError, "permission denied"),
        ("SELECT 1 AS a, 2 AS a", InvalidArgumentError, "several columns 'a'"),
        ("SELECT 1 / (asset_count - asset_count) FROM collections", StorageError, "division by"),
        (
            "WITH x AS (UPDATE assets SET page = 1 RETURNING 1) TABLE x",
            InvalidArgumentError,
            "WITH clause containing a data-modifying statement",
        ),
        ("SELECT pg_read_file('/etc/passwd')", InvalidArgumentError, "permission denied"),
    ):
        with pytest.raises(error, match=message):
            await export_query(dsn, text, "csv", tmp_path / "x")
    with pytest.raises(InvalidArgumentError, match="2 columns with vectors"):
        await export_query(
            dsn, "SELECT embedding AS a, embedding AS b FROM embeddings", "npy", tmp_path / "x"
        )
    assert names(tmp_path) == []
