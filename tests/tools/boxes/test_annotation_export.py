"""Exported annotations are valid COCO and LLaVA files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.server.cli import main
from sightline.tools.boxes.box_parser import parse_boxes
from sightline.tools.boxes.model_families import choose_profile
from tests.tools.toolbox import ToolEnvironment

GARLIC, GATE = "album/shop/garlic.png", "album/site/gate.jpg"
LEFT, RIGHT = [0.0, 0.0, 0.5, 1.0], [0.5, 0.25, 1.0, 0.75]


@pytest.fixture
async def annotated(
    environment_copy: ToolEnvironment, monkeypatch: pytest.MonkeyPatch
) -> ToolEnvironment:
    """Three boxes on the garlic, and one on the rotated image."""
    async with environment_copy.serve() as tools:
        ids = await tools.ids()
        boxes = [{"box": LEFT, "label": "大蒜 bulb"}, {"box": RIGHT, "label": "大蒜 bulb"}]
        await tools.call("save_annotation", asset=ids[GARLIC], boxes=boxes, origin="person")
        await tools.call(
            "save_annotation",
            asset=ids[GARLIC],
            boxes=[{"box": LEFT, "label": "cloth"}],
            origin="model",
            model="llava",
            score=0.75,
        )
        top = [{"box": [0.0, 0.0, 1.0, 0.5], "label": "gate"}]
        await tools.call("save_annotation", asset=ids[GATE], boxes=top, origin="person")
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", environment_copy.dsn)
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(environment_copy.data))
    return environment_copy


def export(out: Path, *arguments: str) -> Any:
    """Run the command and return the file that it wrote."""
    assert main(["export-annotations", str(out), *arguments]) == 0
    return json.loads((out / "annotations.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("annotated")
def test_coco_is_read_by_its_own_reader_with_every_box_where_it_was_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    written = export(tmp_path / "coco", "--json")
    printed = capsys.readouterr()
    assert "4 annotations on 2 images" in printed.err
    folder = str(tmp_path / "coco")
    assert json.loads(printed.out) == {"folder": folder, "annotations": 4, "images": 2}
    read = COCO(tmp_path / "coco" / "annotations.json")
    assert sorted(each["name"] for each in read.cats.values()) == ["cloth", "gate", "大蒜 bulb"]
    (garlic,) = [each for each in read.imgs.values() if each["source"] == GARLIC]
    found = read.loadAnns(read.getAnnIds(imgIds=[garlic["id"]]))
    # 96 x 64 pixels.
    assert [each["bbox"] for each in found] == [[0, 0, 48, 64], [48, 16, 48, 32], [0, 0, 48, 64]]
    assert [each["area"] for each in found] == [3072, 1536, 3072]
    assert (found[2]["score"], found[2]["attributes"]["model"]) == (0.75, "llava")
    assert "score" not in found[0]
    # The masks of boxes without outlines are drawn from the boxes by whoever needs them.
    assert len(written["annotations"]) == len(read.anns) == 4


@pytest.mark.usefixtures("annotated")
def test_exported_images_are_upright(tmp_path: Path) -> None:
    written = export(tmp_path / "coco")
    for row in written["images"]:
        with Image.open(tmp_path / "coco" / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"])
            assert image.getexif().get(274, 1) == 1
    (gate,) = [each for each in written["images"] if each["source"] == GATE]
    assert (gate["width"], gate["height"]) == (60, 80)
    with Image.open(tmp_path / "coco" / gate["file_name"]) as image:
        red, green, _ = image.getpixel((30, 20))  # type: ignore[misc]
    assert red > 200 > green  # the upper half, which its box marks


@pytest.mark.usefixtures("annotated")
def test_the_conversations_are_llavas_and_their_boxes_are_read_back(tmp_path: Path) -> None:
    written = export(tmp_path / "llava", "--format", "llava")
    garlic = next(each for each in written if len(each["conversations"]) == 4)
    assert set(garlic) == {"id", "image", "conversations"}
    turns = garlic["conversations"]
    assert [turn["from"] for turn in turns] == ["human", "gpt"] * 2
    # The LLaVA loader expects one <image> per image, in the first message.
    assert [turn["value"].count("<image>") for turn in turns] == [1, 0, 0, 0]
    assert turns[0]["value"].startswith("<image>\n")
    assert "大蒜 bulb" in turns[0]["value"]
    assert (tmp_path / "llava" / garlic["image"]).is_file()
    profile = choose_profile("llava-1.5")
    marks = parse_boxes(turns[1]["value"], profile, profile.place((96, 64))).boxes
    for mark, saved in zip(marks, (LEFT, RIGHT), strict=True):
        assert mark.box == pytest.approx(saved, abs=0.02)


@pytest.mark.usefixtures("annotated")
def test_boxes_are_written_in_the_numbers_of_the_family_that_is_to_learn_them(
    tmp_path: Path,
) -> None:
    written = export(tmp_path / "q", "--format", "llava", "--profile", "qwen3-vl")
    gate = next(each for each in written if len(each["conversations"]) == 2)
    assert "[0,0,1000,500]" in gate["conversations"][1]["value"]


@pytest.mark.usefixtures("annotated")
@pytest.mark.parametrize(
    ("arguments", "boxes"),
    [(["--origin", "model"], 1), (["--origin", "person"], 3), (["--collection", "album"], 4)],
)
def test_only_what_was_asked_for_is_exported(
    tmp_path: Path, arguments: list[str], boxes: int
) -> None:
    assert len(export(tmp_path / "out", *arguments)["annotations"]) == boxes


@pytest.mark.usefixtures("annotated")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--collection", "nowhere"], "Unknown collection 'nowhere'"),
        (["--format", "llava", "--profile", "plain"], "no boxes"),
        (["--format", "llava", "--profile", "lava"], "'llava-1.5'"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["export-annotations", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert main(["export-annotations", str(tmp_path / "full" / "file" / "out")]) == 2
    assert "out' cannot be written: Not a directory." in capsys.readouterr().err
    assert main(["export-annotations", str(tmp_path / "full")]) == 2
