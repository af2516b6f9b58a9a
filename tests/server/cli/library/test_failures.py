"""Failed files are listed with advice, written to a file, and tried again."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from sightline import storage
from sightline.server.cli import main
from sightline.storage.ingest.failed_files import ADVICE


def png(color: str = "red") -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(buffer, "PNG")
    return buffer.getvalue()


def zip_of(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.fixture
def album(
    database_dsn: str, random_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with two good files and five that fail."""
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
        "URLS__ALLOWED_HOSTS": "pictures.invalid",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    (folder / "good.png").write_bytes(png())
    (folder / "sub" / "broken.png").write_bytes(b"no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "gone.png").write_bytes(b"no picture either")
    zip_of(folder / "mixed.zip", {"in/a.png": png("blue"), "in/b.png": b"not one"})
    (folder / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    return folder


def test_failures_are_listed_written_and_tried_again(
    album: Path, tmp_path: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        assert main([*arguments, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    report = tmp_path / "failed.jsonl"
    url = "https://pictures.invalid/a.png"
    summary = run("ingest", str(album), url, "--collection", "a", "--failures", str(report))
    assert summary["failed"] == 6
    listed = [each for issue in summary["failures"].values() for each in issue["examples"]]
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(each["name"] for each in lines) == sorted(each["name"] for each in listed)
    assert all(each["reason"] and each["advice"] for each in lines)

    failed = {Path(each["name"]).name: each for each in run("failures")["failed"]}
    assert set(failed) == {
        "broken.png", "empty.png", "gone.png", "b.png", "torn.zip", "a.png",
    }  # fmt: skip
    assert failed["b.png"]["location"] == f"file:{album}/mixed.zip//in/b.png"
    assert failed["empty.png"]["code"] == "empty"
    assert failed["a.png"]["code"] == "unreachable"
    assert all(each["collection"] == "a" and each["advice"] for each in failed.values())

    # Some are mended; one does not exist any more; a good file changed, but is not tried.
    (album / "sub" / "broken.png").write_bytes(png("green"))
    zip_of(album / "mixed.zip", {"in/a.png": png("black"), "in/b.png": png("white")})
    zip_of(album / "torn.zip", {"c.png": png("yellow")})
    (album / "gone.png").unlink()
    (album / "good.png").write_bytes(png("orange"))
    assert main(["ingest", "--retry-failed", "--collection", "a", "--json"]) == 0
    output = capsys.readouterr()
    assert "gone.png: does not exist any more" in output.err
    summary = json.loads(output.out)
    assert (summary["added"], summary["replaced"], summary["failed"]) == (3, 0, 2)
    left = run("failures", "--collection", "a")["failed"]
    assert sorted(Path(each["name"]).name for each in left) == ["a.png", "empty.png"]
    with psycopg.connect(database_dsn) as connection:
        names = connection.execute("SELECT name FROM sightline.source WHERE state = 'done'")
        assert {Path(name).name for (name,) in names} >= {"broken.png", "b.png", "c.png"}
        connection.execute("DELETE FROM sightline.source WHERE error_code = 'unreachable'")
    # Also if all of them are gone, they are forgotten.
    (album / "empty.png").unlink()
    assert run("ingest", "--retry-failed", "--collection", "a")["failed"] == 0
    assert run("failures")["failed"] == []


def test_the_list_is_readable_and_names_pages_that_were_not_read(
    album: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(album), "--collection", "a", "--quiet"]) == 0
    assert "sightline failures --collection a" in capsys.readouterr().out
    with psycopg.connect(database_dsn) as connection:
        connection.execute("UPDATE sightline.asset SET reading = 'unreadable', page = 3")
    assert main(["failures"]) == 0
    text = capsys.readouterr().out
    assert "5 failed files" in text
    assert re.search(r"empty, 1: Nothing is in it.*\n  a: .*empty.png: has no bytes \(\d{4}-", text)
    assert "sightline ingest --retry-failed --collection a" in text
    assert re.search(r"unreadable, 2: .*Scan it again", text)
    assert re.search(r"good.png, page 3 \(asset [0-9a-z]{12}\)", text)
    assert main(["failures", "--collection", "b"]) == 2
    assert "Unknown collection 'b'. Available: 'a'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a.png", "--retry-failed"]])
def test_paths_and_a_retry_exclude_each_other(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", *arguments]) == 2
    assert "or --retry-failed without paths" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_stops_before_the_ingest(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(album), "--failures", str(tmp_path / "no" / "f")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_every_code_of_a_failure_has_advice() -> None:
    """Codes are written in the calls of `MediaError`, or chosen before them."""
    folder = Path(storage.__file__).parent / "ingest"
    calls = (
        code
        for path in folder.rglob("*.py")
        for code in re.findall(r'(?:MediaError\(\s*|\bcode = )"([a-z_]+)"', path.read_text())
    )
    assert set(calls) - set(ADVICE) == set()
