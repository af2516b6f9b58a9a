"""Collections are listed, described, renamed, set up, pruned and deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.server.cli.library.prune_command import real_roots

COLORS = ("red", "green", "blue", "yellow", "white")


@pytest.fixture
def folder(
    database_dsn: str, random_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Five pictures in two folders."""
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__MODEL": f"local-dir:{random_encoder_folder}",
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    folder = tmp_path / "pictures"
    for number, color in enumerate(COLORS):
        path = folder / ("old" if number < 2 else "new") / f"{color}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), color).save(path)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def vectors(dsn: str) -> dict[str, str]:
    """Return the transaction that wrote the vector of each asset."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT asset_id, xmin::text FROM sightline.embedding WHERE passage_id IS NULL"
        )
        return dict(rows.fetchall())


def test_a_library_is_managed_from_the_command_line(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, code: int = 0) -> Any:
        assert main([*arguments, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    def text(*arguments: str, code: int = 0) -> str:
        assert main(list(arguments)) == code
        output = capsys.readouterr()
        return output.out + output.err

    assert "There are no collections" in text("collections")
    run("ingest", str(folder), "--collection", "album")

    # collections, stats, failures
    (listed,) = run("collections")["collections"]
    assert (listed["name"], listed["assets"], listed["files"]) == ("album", 5, 5)
    assert listed["failed_files"] == 1
    assert listed["bytes"] == sum(path.stat().st_size for path in folder.rglob("*/*.png"))
    described = "Colors"
    assert run("collections", "describe", "album", described)["description"] == described
    assert described in text("collections", "list")
    text("collections", "settings", "album", "tiles=false", "ocr=off")
    changed = run("collections", "settings", "album", "ocr=", "ocr_languages=none")["settings"]
    assert changed == {"tiles": False, "ocr_languages": []}
    message = text("collections", "settings", "album", "tile=true", code=2)
    assert "'tile=true' is not a setting" in message
    assert "'tiles'" in message
    assert "Give true or false" in text("collections", "settings", "album", "tiles=9", code=2)
    counted = run("stats", "album")
    assert counted["assets"] == [{"kind": "image", "number": 5}]
    assert {"type": "image/png", "state": "done", "files": 5, "bytes": listed["bytes"]} in (
        counted["sources"]
    )
    assert counted["database"]["database_bytes"] > counted["database"]["vector_bytes"] > 0
    assert "assets: 5 (5 image)" in text("stats")
    assert "Unknown collection 'nope'" in text("stats", "nope", code=2)

    out = folder.with_name("out")
    out.mkdir()
    assert run("analyze", "album")["clustered"][0]["assets"] == 5
    exported = run("export", "assets", "--output", str(out / "assets.csv"))
    assert exported == {"file": str(out / "assets.csv"), "rows": 5}
    backup = run("backup", str(out / "b.sightline"))
    assert (backup["bytes"], backup["files_outside"]) == ((out / "b.sightline").stat().st_size, 5)
    assert run("bind", "alice", "--collections", "album") == {"bindings": {"alice": ["album"]}}
    assert run("bind", "alice", "--release") == {"bindings": {}}
    token = run("token", "alice", "--scopes", "read", "write")
    assert token["line"].startswith("alice:read+write:")
    assert token["token"] not in token["line"]

    # list, page by page
    first = run("list", "album", "--limit", "3")
    assert (first["total"], len(first["assets"])) == (5, 3)
    rest = run("list", "album", "--limit", "3", "--cursor", first["next_cursor"])
    assert rest["next_cursor"] is None
    ids = [each["asset"] for each in first["assets"] + rest["assets"]]
    assert len(set(ids)) == 5
    assert "next page: sightline list album --limit 3 --cursor" in text(
        "list", "album", "--limit", "3"
    )
    only = run("list", "album", "--filter", '{"file_name": "red.png"}')
    assert [each["source"] for each in only["assets"]] == [f"{folder}/old/red.png"]

    # rename: everything stays
    assert run("collections", "rename", "album", "photos")["collection"] == "photos"
    assert "Unknown collection 'album'" in text("list", "album", code=2)
    run("ingest", str(folder / "new" / "blue.png"), "--collection", "other")
    message = text("collections", "rename", "other", "photos", code=2)
    assert "There is a collection 'photos' already" in message
    assert run("collections", "delete", "other", "--yes")["deleted"]["assets"] == 1

    # A moved file is not encoded again; a deleted one is forgotten, its folder has others.
    before = vectors(database_dsn)
    moved = Path(f"{folder}/moved")
    moved.mkdir()
    (folder / "new" / "blue.png").rename(moved / "azure.png")
    (folder / "new" / "yellow.png").unlink()
    (folder / "broken.png").unlink()
    dry = run("prune", "--collection", "photos", "--dry-run")
    assert sorted(Path(each["path"]).name for each in dry["missing"]) == [
        "blue.png", "broken.png", "yellow.png",
    ]  # fmt: skip
    assert dry["deleted"] is None
    message = text("prune", "--collection", "photos", code=2)
    assert "Forget 3 files" in message
    assert "--yes" in message  # without a terminal
    summary = run("ingest", str(folder), "--collection", "photos", "--prune")
    assert (summary["added"], summary["updated"], summary["failed"]) == (0, 1, 0)
    assert summary["pruned"]["deleted"]["sources"] == 2
    after = vectors(database_dsn)
    assert len(after) == 4
    assert after.items() <= before.items()

    # An empty folder may be a disk that is not mounted.
    for path in (folder / "old").iterdir():
        path.unlink()
    kept = run("prune", "--collection", "photos", "--yes", code=1)
    assert (kept["missing"], len(kept["doubtful"][0]["files"])) == ([], 2)
    assert "is empty; is its disk mounted?" in text("prune", "--collection", "photos", code=1)
    assert run("prune", "--collection", "photos", "--yes", "--force")["deleted"]["assets"] == 2

    # delete
    rest_ids = [each["asset"] for each in run("list")["assets"]]
    assert len(rest_ids) == 2
    assert "Deleted 1 assets of 1 files" in text("delete", rest_ids[0], "--yes")
    name = "…/" + Path(run("list")["assets"][0]["source"]).name  # as results shorten it
    assert "is not an asset id" in text("delete", name, "--yes", code=2)
    assert run("delete", name, "--collection", "photos", "--yes")["deleted"]["sources"] == 1
    assert run("list")["total"] == 0
    assert "add --yes" in text("collections", "delete", "photos", code=2)
    assert len(run("collections")["collections"]) == 1


def test_the_root_of_a_pattern_is_the_folder_in_which_it_starts(tmp_path: Path) -> None:
    (tmp_path / "a[1]").mkdir()
    given = [
        str(tmp_path / "scans" / "*.png"),
        str(tmp_path / "a[1]"),
        str(tmp_path / "x" / ".." / "y"),
    ]
    assert real_roots(given) == [str(tmp_path / part) for part in ("scans", "a[1]", "y")]
