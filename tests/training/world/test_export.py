"""Tests of the export of synthetic images."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from sightline.storage.errors import ConfigurationError, UnknownNameError
from sightline.training.world.export import configure, export, run
from sightline.training.world.families import FAMILIES, draw


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_export_is_deterministic_for_any_number_of_workers(tmp_path: Path) -> None:
    families = ("shapes", "street")
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        export(tmp_path / name, split="test", count=6, families=families, workers=workers)
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "again") == contents(tmp_path / "two")
    export(tmp_path / "other", split="test", count=6, seed=1, families=families)
    assert one.keys() & contents(tmp_path / "other").keys() == {
        "metadata.jsonl",
        "questions.jsonl",
        "instances.json",
    }


def test_exported_records_match_the_drawn_scenes(tmp_path: Path) -> None:
    out = tmp_path / "album"
    summary = export(out, split="test", count=2 * len(FAMILIES))
    assert summary.images == dict.fromkeys(sorted(FAMILIES), 2)
    records = lines(out / "metadata.jsonl")
    questions = lines(out / "questions.jsonl")
    assert len(questions) == summary.questions
    for record in records:
        scene = draw(str(record["family"]), int(str(record["seed"])), "test")
        assert record["caption"] == scene.captions["en"][0]
        assert record["caption_zh"] == scene.captions["zh"][0]
        assert record["captions"] == scene.captions
        assert record["unseen"] is scene.unseen
        mine = [q for q in questions if q["file_name"] == record["file_name"]]
        assert [q["answer"] for q in mine] == [q.answer for q in scene.questions]
        with Image.open(out / str(record["file_name"])) as image:
            assert image.size == scene.image.size
            stamp = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        if scene.captured_at:
            assert record["captured_at"] == scene.captured_at.isoformat()
            assert stamp == scene.captured_at.strftime("%Y:%m:%d %H:%M:%S")
        else:
            assert stamp is None
    assert len({str(r["caption"]) for r in records}) == len(records)


def test_boxes_are_written_in_coco_format(tmp_path: Path) -> None:
    out = tmp_path / "album"
    export(out, split="validation", count=4, families=["product"])
    coco = json.loads((out / "instances.json").read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in coco["categories"]}
    images = {i["id"]: i for i in coco["images"]}
    assert len(images) == 4
    assert "text" in names.values()
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        image = images[annotation["image_id"]]
        assert width > 0
        assert height > 0
        assert x + width <= image["width"] + 0.1
        assert y + height <= image["height"] + 0.1
        assert (names[annotation["category_id"]] == "text") == ("text" in annotation["attributes"])


def test_non_empty_folder_is_rejected_and_unchanged(tmp_path: Path) -> None:
    out = tmp_path / "album"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(
        ConfigurationError, match=r"album is not empty. Choose a new or empty folder"
    ):
        export(out, split="test", count=1, families=["shapes"])
    assert contents(out) == {"mine.txt": b"keep"}


def test_export_to_empty_folder_leaves_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    export(tmp_path / "album", split="train", count=1, families=["shapes"])
    assert [p.name for p in tmp_path.iterdir()] == ["album"]


def test_invalid_arguments_are_reported(tmp_path: Path) -> None:
    out = tmp_path / "album"
    with pytest.raises(ConfigurationError, match="Invalid count 0"):
        export(out, split="test", count=0)
    with pytest.raises(ConfigurationError, match="Invalid seed -1"):
        export(out, split="test", count=1, seed=-1)
    with pytest.raises(UnknownNameError, match="Unknown family 'zoo'"):
        export(out, split="test", count=1, families=["zoo"])
    assert list(tmp_path.iterdir()) == []


def test_command_prints_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    album = str(tmp_path / "album")
    assert run(parser.parse_args([album, "--count", "3", "--families", "shapes", "room"])) == 0
    output = io.StringIO(capsys.readouterr().out).readline()
    assert "1 room, 2 shapes;" in output
