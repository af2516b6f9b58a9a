"""Tests of ``sightline analyze``, ``sql``, ``atlas`` and ``export``."""

from __future__ import annotations

import asyncio
import io
import json
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
    """A data folder with sample assets and a running embedded Postgres."""

    async def prepare(dsn: str) -> None:
        database = await Database.open(dsn)
        await fill(database)
        jpeg = io.BytesIO()
        Image.new("RGB", (160, 120), (9, 99, 199)).save(jpeg, "JPEG")
        async with database.connection() as connection:
            await connection.execute("UPDATE thumbnail SET jpeg = %s", [jpeg.getvalue()])
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
    monkeypatch.delenv("SIGHTLINE_DATABASE__URL", raising=False)


def test_collections_are_analyzed_and_queried(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", "album", "--clusters", "3"]) == 0
    output = capfd.readouterr().out.splitlines()
    assert output[0].startswith(
        "album: 29 images in 3 clusters (embedding space 1), mean distance 0."
    )
    assert output[1:] == ["48 new images compared"]
    assert main(["sql", "--csv", "-c", "SELECT sum(asset_count) FROM clusters(3)"]) == 0
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
def test_psql_uses_a_read_only_login(
    capfd: pytest.CaptureFixture[str], statement: str, words: str
) -> None:
    assert main(["sql", "-c", statement, "-c", "SELECT 'went on'"]) != 0
    output = capfd.readouterr()
    assert words in output.err
    assert "went on" not in output.out


def test_an_external_database_needs_a_read_only_login(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", "postgresql://x@127.0.0.1:1/x")
    assert main(["sql", "-c", "SELECT 1"]) == 2
    output = capfd.readouterr().err
    assert output.startswith("sightline sql: SQL queries need a read-only login")
    assert "SIGHTLINE_ANALYTICS__DATABASE_URL" in output


def test_atlas_writes_a_map(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "album.html"
    command = ["atlas", "album", "-o", str(path), "--color", "product", "--method", "pca"]
    assert main(command) == 0
    assert "29 of 29 images, laid out by PCA" in capfd.readouterr().err
    assert path.read_text("utf-8").count("UklGR") == 29  # a WebP each
    assert main([*command, "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == {"file": str(path), "bytes": path.stat().st_size}
    assert main(["atlas", "album", "-o", str(tmp_path / "no" / "map.html")]) == 2
    assert "map.html'. No such file".replace(". ", ": ") in capfd.readouterr().err


def test_psql_gets_its_options(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    query = "SELECT asset_id, page FROM assets WHERE asset_id = :'id'"
    assert main(["sql", "-At", "-v", "id=album0000001", "-F", ";", "-c", query]) == 0
    assert capfd.readouterr().out == "album0000001;\n"
    script, rows = tmp_path / "script.sql", tmp_path / "rows.txt"
    script.write_text(
        "\\set least 4\nSELECT count(*) FROM assets\n  WHERE (metadata ->> 'product') = :'product';"
        "SELECT :least + 1 AS n;"
    )
    command = ["sql", "-f", str(script), "-v", "product=Onion", "-o", str(rows), "-x", "--csv"]
    assert main(command) == 0
    assert rows.read_text() == "count,10\nn,5\n"
    # The variable is a literal, whatever it contains.
    query = "SELECT :'text' AS t -- the end"
    assert main(["sql", "-tA", "-v", "text='; SELECT 1; --", "-c", query]) == 0
    assert capfd.readouterr().out == "'; SELECT 1; --\n"
    assert main(["sql", "-v", "a b=1", "-c", "SELECT 1"]) == 2
    assert "-v takes NAME=VALUE" in capfd.readouterr().err


@pytest.mark.parametrize("options", [["-v", "x=1"], ["-At"], ["-v", "AUTOCOMMIT=off"]])
def test_options_of_psql_leave_the_login_read_only(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]
) -> None:
    script = tmp_path / "script.sql"
    script.write_text("DELETE FROM sightline.asset;\nSELECT 'went on';")
    for given in (["-c", script.read_text()], ["-f", str(script)]):
        assert main(["sql", *options, *given]) != 0
        output = capfd.readouterr()
        assert "permission denied for schema sightline" in output.err
        assert "went on" not in output.out


def test_export_writes_a_view(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "assets.parquet"
    assert main(["export", "assets", "--format", "parquet", "-o", str(path)]) == 0
    assert capfd.readouterr().err == f"50 rows in {path}\n"
    assert path.read_bytes().startswith(b"PAR1")
    part = ["--collection", "album", "--level", "asset", "--space", "1", "--format", "npy"]
    assert main(["export", "embeddings", *part, "-o", str(tmp_path / "v.npy")]) == 0
    assert capfd.readouterr().err == f"29 rows in {tmp_path / 'v.npy'}\n"


def test_export_writes_a_query(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    query = "SELECT collection, count(*) AS n FROM assets GROUP BY 1 ORDER BY 1"
    assert main(["export", "--query", query]) == 0
    assert capfd.readouterr().err == "2 rows in query.csv\n"
    assert Path("query.csv").read_text() == "collection,n\nalbum,30\nother,20\n"
    for given, words in (
        (["--query", "TABLE sightline.asset"], "permission denied for schema sightline"),
        (["--query", query, "--collection", "album"], "Write WHERE in the query"),
        (["--query", query, "assets"], "Give a view, such as 'assets', or --query SQL"),
        ([], "Give a view"),
    ):
        assert main(["export", *given]) == 2
        assert words in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["query.csv"]
