"""Logins for analysts, and views as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from sightline.storage.analytics.export import export
from sightline.storage.analytics.questions import Questions
from sightline.storage.analytics.roles import grant
from sightline.storage.database import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, UnknownNameError


def drop(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_analyst_reads_the_schema_and_nothing_else(filled: Database) -> None:
    dsn = await grant(filled.dsn, "alice")
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
        questions = Questions(dsn, timeout_seconds=5, most_rows=5, most_bytes=1_000)
        assert (await questions.ask("SELECT count(*) FROM assets", rows=1)).rows == [[50]]
        again = await grant(filled.dsn, "alice")
        assert conninfo_to_dict(again)["password"] != conninfo_to_dict(dsn)["password"]
    finally:
        drop(filled.dsn, "alice")


async def test_a_role_that_is_no_analyst_is_left_alone(filled: Database) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE boss LOGIN")
    try:
        for name in ("boss", "sightline"):
            with pytest.raises(NotAllowedError, match="no analyst's"):
                await grant(filled.dsn, name)
    finally:
        drop(filled.dsn, "boss")


@pytest.mark.parametrize("name", ["", "Alice", "a-b", "pg_alice", "x; DROP", "sightline_reader"])
async def test_a_name_that_will_not_do_is_refused(database_dsn: str, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="will not do"):
        await grant(database_dsn, name)


async def test_who_may_not_make_roles_is_told_who_may(filled: Database) -> None:
    dsn = await grant(filled.dsn, "carol")
    try:
        with pytest.raises(NotAllowedError, match="as an administrator of the database"):
            await grant(dsn, "dave")
    finally:
        drop(filled.dsn, "carol")


async def test_vectors_come_back_to_the_same_bits(filled: Database, tmp_path: Path) -> None:
    async with filled.connection() as connection:
        cursor = await connection.execute("SELECT asset_id, embedding FROM embedding")
        stored = {
            key: np.asarray(vector.to_numpy(), dtype="<f2")
            for key, vector in await cursor.fetchall()
        }
    path = tmp_path / "vectors.npy"
    assert await export(filled, "embeddings", "npy", path) == 48
    matrix = np.load(path)
    keys = [json.loads(line) for line in lines(tmp_path / "vectors.npy.keys.jsonl")]
    assert (matrix.shape, matrix.dtype) == ((48, 8), np.float16)
    for row, key in zip(matrix, keys, strict=True):
        assert row.tobytes() == stored[key["asset_id"]].tobytes()

    assert await export(filled, "embeddings", "csv", tmp_path / "e.csv", space=None) == 48
    with (tmp_path / "e.csv").open() as file:
        for record in csv.DictReader(file):
            found = np.array(json.loads(record["embedding"]), dtype=np.float16)
            assert found.tobytes() == stored[record["asset_id"]].tobytes()

    assert await export(filled, "embeddings", "jsonl", tmp_path / "e.jsonl") == 48
    for line in lines(tmp_path / "e.jsonl"):
        record = json.loads(line)
        found = np.array(json.loads(record["embedding"]), dtype=np.float16)
        assert found.tobytes() == stored[record["asset_id"]].tobytes()
    assert names(tmp_path) == ["e.csv", "e.jsonl", "vectors.npy", "vectors.npy.keys.jsonl"]


async def test_what_cannot_be_exported_is_named(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no view 'asset'; there are: 'annotations'"):
        await export(filled, "asset", "csv", tmp_path / "x")
    with pytest.raises(InvalidArgumentError, match="'assets' holds no vectors"):
        await export(filled, "assets", "npy", tmp_path / "x")
    with pytest.raises(InvalidArgumentError, match=r"of one space; there are: .*test-encoder"):
        await export(filled, "embeddings", "npy", tmp_path / "x", space=99)
    assert names(tmp_path) == []
