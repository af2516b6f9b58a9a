"""Tests of ``sightline ingest --tiles``."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main

TILES = "SELECT count(*) FROM sightline.embedding WHERE region_id IS NOT NULL"


def test_tiles_are_added_kept_and_removed(
    database_dsn: str,
    random_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    album = tmp_path / "album"
    album.mkdir()
    Image.new("RGB", (300, 300), "red").save(album / "a.png")

    def tiles_after(*options: str) -> int:
        assert main(["ingest", str(album), "--collection", "album", "--json", *options]) == 0
        capsys.readouterr()
        with psycopg.connect(database_dsn) as connection:
            row = connection.execute(TILES).fetchone()
        assert row is not None
        return int(row[0])

    assert tiles_after() == 0
    assert tiles_after("--tiles") == 13
    Image.new("RGB", (300, 300), "blue").save(album / "b.png")
    assert tiles_after() == 26
    assert tiles_after("--no-tiles") == 0
