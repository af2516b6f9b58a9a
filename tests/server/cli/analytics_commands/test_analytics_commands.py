"""``sightline analyze``, ``sql`` and ``export`` over a data folder of their own."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from tests.storage.analytics.conftest import fill


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """The pictures of the tests of the schema, in a Postgres that runs."""

    async def prepare(dsn: str) -> None:
        database = await Database.open(dsn)
        await fill(database)
        picture = io.BytesIO()
        Image.new("RGB", (160, 120), (9, 99, 199)).save(picture, "JPEG")
        async with database.connection() as connection:
            await connection.execute("UPDATE thumbnail SET jpeg = %s", [picture.getvalue()])
        await database.close()

    with (
        tempfile.TemporaryDirectory(prefix="sightline-tests-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as postgres,
    ):
        schema_migration.upgrade(postgres.dsn())
        asyncio.run(prepare(postgres.dsn()))
        yield Path(folder)


@pytest.fixture(autouse=True)
def environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(data_dir))
    monkeypatch.delenv("SIGHTLINE_DATABASE_URL", raising=False)


def test_collections_are_analysed_and_asked_about(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "album", "--clusters", "3"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[0].startswith("album: 29 pictures in 3 clusters (space 1), mean distance 0.")
    assert said[1:] == ["48 pictures compared that were new"]
    assert main(["sql", "--csv", "-c", "SELECT sum(assets) FROM clusters(3)"]) == 0
    assert capfd.readouterr().out == "sum\n29\n"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT * FROM pg_read_file('/etc/passwd')", "permission denied"),
        ("CREATE TEMP TABLE x (y int)", "read-only transaction"),
        ("TABLE sightline.asset", "permission denied for schema sightline"),
        ("SET ROLE sightline", "permission denied to set role"),
    ],
)
def test_psql_runs_as_a_login_that_only_reads(
    capfd: pytest.CaptureFixture[str], statement: str, words: str
) -> None:
    assert main(["sql", "-c", statement, "-c", "SELECT 'went on'"]) != 0
    said = capfd.readouterr()
    assert words in said.err
    assert "went on" not in said.out


def test_a_database_that_is_given_needs_its_login(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE_URL", "postgresql://x@127.0.0.1:1/x")
    assert main(["sql", "-c", "SELECT 1"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("sightline sql: questions in SQL need a login")
    assert "SIGHTLINE_ANALYTICS_DATABASE_URL" in said


def test_a_map_is_drawn(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "album.html"
    drawn = ["atlas", "album", "-o", str(path), "--colour", "product", "--method", "pca"]
    assert main(drawn) == 0
    assert "29 of 29 pictures, laid out by PCA" in capfd.readouterr().err
    assert path.read_text("utf-8").count("UklGR") == 29  # a WebP each
    assert main(["atlas", "album", "-o", str(tmp_path / "no" / "map.html")]) == 2
    assert "cannot be written: No such file" in capfd.readouterr().err


def test_a_view_is_exported(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "assets.parquet"
    assert main(["export", "assets", "--format", "parquet", "-o", str(path)]) == 0
    assert capfd.readouterr().err == f"50 rows in {path}\n"
    assert path.read_bytes().startswith(b"PAR1")
