"""Tests of ``sightline ingest``: tiles, and what it writes to a terminal."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main

TILES = "SELECT count(*) FROM sightline.embedding WHERE region_id IS NOT NULL"


def configure(
    monkeypatch: pytest.MonkeyPatch, folder: Path, database_dsn: str, encoder: str
) -> None:
    for name, value in {
        "DATA_DIR": str(folder / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__MODEL": encoder,
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)


@pytest.mark.parametrize("command", ["ingest", "search"])
def test_a_missing_encoder_is_one_message_without_log_lines(
    command: str,
    database_dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(monkeypatch, tmp_path, database_dsn, "siglip2-base")
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    argument = str(tmp_path / "a.png") if command == "ingest" else "red"
    quiet = ["--quiet"] if command == "ingest" else []
    assert main([command, argument, *quiet]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"sightline {command}: the encoder 'siglip2-base' could not be opened (The encoder"
    )
    assert "Run: sightline models pull siglip2-base" in line


def test_messages_are_logged_if_a_level_is_set(
    database_dsn: str,
    random_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(monkeypatch, tmp_path, database_dsn, f"local-dir:{random_encoder_folder}")
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    arguments = ["ingest", str(tmp_path / "a.png"), "--quiet"]
    assert main(arguments) == 0
    assert "INFO" not in capsys.readouterr().err
    monkeypatch.setenv("SIGHTLINE_LOG__LEVEL", "info")
    assert main(arguments) == 0
    assert "the database is ready" in capsys.readouterr().err


def test_doctor_names_the_setting_of_vectors_from_another_encoder(
    database_dsn: str,
    random_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(monkeypatch, tmp_path, database_dsn, f"local-dir:{random_encoder_folder}")
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a red square")
    assert main(["ingest", str(tmp_path / "a.png"), "--quiet"]) == 0
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE sightline.encoder_reliability SET reliability = 0")
    capsys.readouterr()
    assert main(["doctor"]) == 0
    assert "Words do not find what the pictures of 'default' show" in capsys.readouterr().out
    monkeypatch.setenv("SIGHTLINE_ENCODER__MODEL", "builtin")
    assert main(["doctor"]) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ERROR")]
    assert len(errors) == 2  # the vectors of pictures and of passages
    assert all("restore SIGHTLINE_ENCODER__MODEL," in line for line in errors)


def test_tiles_are_added_kept_and_removed(
    database_dsn: str,
    random_encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(monkeypatch, tmp_path, database_dsn, f"local-dir:{random_encoder_folder}")
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
