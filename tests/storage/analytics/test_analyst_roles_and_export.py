"""Logins for analysts, and views as files."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pyarrow import parquet

from sightline.storage.analytics import analyst_roles
from sightline.storage.analytics.analyst_roles import grant_analyst
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.analytics.view_export import export_view
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_vector


def drop(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_analyst_can_only_read_the_schema(filled: Database) -> None:
    dsn = await grant_analyst(filled.dsn, "alice")
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM assets").fetchone() == (50,)
            assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
            near = "SELECT count(*) FROM nearest('album0000000', 3)"
            assert connection.execute(near.encode()).fetchone() == (3,)
            with pytest.raises(errors.ReadOnlySqlTransaction):
                connection.execute("CREATE TEMP TABLE x (y int)")
            connection.execute("SET default_transaction_read_only = off")
            for text in ("TABLE sightline.asset", "DELETE FROM searches", "SET ROLE sightline"):
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(text.encode())
        runner = SqlRunner(dsn, timeout_seconds=60, max_rows=5, max_bytes=1_000)
        assert (await runner.run("SELECT count(*) FROM assets", rows=1)).rows == [[50]]
        again = await grant_analyst(filled.dsn, "alice")
        assert conninfo_to_dict(again)["password"] != conninfo_to_dict(dsn)["password"]
    finally:
        drop(filled.dsn, "alice")


async def test_a_limit_that_needs_a_superuser_is_reported(
    filled: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE administrator LOGIN CREATEROLE")
        dsn = make_conninfo(filled.dsn, user="administrator")
        try:
            async with await AsyncConnection.connect(dsn) as administrator:
                await administrator.execute("CREATE ROLE erin LOGIN")
                await analyst_roles._set_role_settings(administrator, "erin")
            (record,) = caplog.records
            assert "temporary files and log messages of erin are not limited" in record.getMessage()
            assert """ALTER ROLE "erin" IN DATABASE""" in record.getMessage()
            with psycopg.connect(make_conninfo(filled.dsn, user="erin")) as erin:
                assert erin.execute("SHOW work_mem").fetchone() == ("16MB",)
                assert erin.execute("SHOW temp_file_limit").fetchone() == ("-1",)
            # The statement of the message.
            connection.execute(record.getMessage().partition("run: ")[2].encode())
            with psycopg.connect(make_conninfo(filled.dsn, user="erin")) as erin:
                assert erin.execute("SHOW temp_file_limit").fetchone() == ("512MB",)
                assert erin.execute("SHOW log_min_messages").fetchone() == ("fatal",)
        finally:
            connection.execute("DROP ROLE IF EXISTS erin")
            connection.execute("DROP ROLE administrator")


async def test_a_role_that_is_not_an_analyst_is_not_changed(filled: Database) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE boss LOGIN")
    try:
        for name in ("boss", "sightline"):
            with pytest.raises(NotAllowedError, match="is not an analyst"):
                await grant_analyst(filled.dsn, name)
    finally:
        drop(filled.dsn, "boss")


@pytest.mark.parametrize("name", ["", "Alice", "a-b", "pg_alice", "x; DROP", "sightline_analyst"])
async def test_an_invalid_role_name_is_refused(database_dsn: str, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a valid role name"):
        await grant_analyst(database_dsn, name)


async def test_missing_rights_to_create_roles_are_explained(filled: Database) -> None:
    dsn = await grant_analyst(filled.dsn, "carol")
    try:
        with pytest.raises(NotAllowedError, match="as a database administrator"):
            await grant_analyst(dsn, "dave")
    finally:
        drop(filled.dsn, "carol")


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
    with pytest.raises(InvalidArgumentError, match="'assets' contains no vectors"):
        await export_view(filled, "assets", "npy", tmp_path / "x")
    with pytest.raises(
        InvalidArgumentError, match=r"of one embedding space\. Available: .*test-encoder"
    ):
        await export_view(filled, "embeddings", "npy", tmp_path / "x", embedding_space=99)
    assert names(tmp_path) == []
