import json
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.ingest.discover.json_tables import parse_json_table
from sightline.storage.ingest.discover.sidecars import Sidecar, parse_sidecar
from sightline.storage.ingest.metadata.embedded_metadata import MAX_BOXES, NamedRegion, TimeTag
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import encoded, fill, picture
from tests.support.sample_metadata import bag, face, xmp

TAKEOUT = {
    "title": "a.jpg",
    "description": "a red door",
    "photoTakenTime": {"timestamp": "1714756930", "formatted": "May 3, 2024"},
    "geoData": {"latitude": 48.8583, "longitude": 2.2945, "altitude": 0.0},
    "people": [{"name": "Ada Lovelace"}],
}
COCO = {
    "images": [
        {"id": 1, "file_name": "0000.jpg", "width": 480, "height": 320},
        {"id": 2, "file_name": "0001.jpg"},
    ],
    "categories": [{"id": 7, "name": "traffic light"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [48, 32, 240, 160]},
        {"id": 2, "image_id": 2, "category_id": 7, "bbox": [12, 8, 24, 16]},
        {"id": 3, "image_id": 1, "caption": "a street at night"},
    ],
}
VIA = {
    "_via_settings": {},
    "_via_img_metadata": {
        "0000.jpg123": {
            "filename": "0000.jpg",
            "size": 123,
            "regions": [
                {
                    "shape_attributes": {
                        "name": "rect", "x": 12, "y": 8, "width": 24, "height": 16
                    },
                    "region_attributes": {"kind": "lamp"},
                },
                {
                    "shape_attributes": {
                        "name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 2, 7]
                    },
                    "region_attributes": {"label": "bell"},
                },
            ],
            "file_attributes": {"caption": "a hall"},
        }
    },
}  # fmt: skip


def described(value: object, path: str = "0000.jpg") -> Sidecar | None:
    warnings: list[tuple[str, str, str]] = []
    table = parse_json_table("t.json", json.dumps(value).encode(), lambda *w: warnings.append(w))
    assert warnings == []
    assert table is not None
    return table.lookup(path, lambda *w: warnings.append(w))


@pytest.mark.parametrize(
    "value",
    [
        [{"file_name": "0000.jpg", "caption": "a red door", "room": 7}],
        {"images": [{"filename": "0000.jpg", "text": ["a red door"], "room": 7}]},
        {"0000.jpg": {"caption": "a red door", "room": 7}},
    ],
)
def test_a_json_list_of_captions_is_a_caption_table(value: object) -> None:
    sidecar = described(value)
    assert sidecar is not None
    assert (sidecar.caption, sidecar.metadata) == ("a red door", {"room": 7})


@pytest.mark.parametrize("captions", ["a red door", ["a red door", "a door"]])
def test_an_object_may_map_file_names_to_captions(captions: object) -> None:
    sidecar = described({"0000.jpg": captions, "b/c.pdf": "a contract"})
    assert sidecar is not None
    assert str(sidecar.caption).startswith("a red door")


@pytest.mark.parametrize(
    "value",
    [[{"name": "Bob"}], {"version": "1.0", "main": "a.js"}, [1, 2], {}, [], "a.jpg", {"a": {}}],
)
def test_other_json_is_no_table(value: object) -> None:
    assert parse_json_table("t.json", json.dumps(value).encode(), lambda *_: None) is None


def test_coco_gives_labels_with_boxes_and_captions() -> None:
    first, second = described(COCO), described(COCO, "0001.jpg")
    assert first is not None
    assert second is not None
    assert first.caption == "a street at night"
    assert first.embedded.labels == (NamedRegion("traffic light", (0.1, 0.1, 0.6, 0.6)),)
    assert second.embedded.labels == (NamedRegion("traffic light", (12, 8, 36, 24), True),)
    assert described(COCO, "val/0000.jpg") == first


def test_via_gives_labels_with_boxes_in_pixels() -> None:
    sidecar = described(VIA)
    assert sidecar is not None
    assert sidecar.caption == "a hall"
    assert sidecar.embedded.labels == (
        NamedRegion("lamp", (12, 8, 36, 24), True),
        NamedRegion("bell", (1, 2, 9, 7), True),
    )
    assert described(VIA["_via_img_metadata"]) == sidecar


def test_takeout_is_read_and_its_other_files_describe_nothing() -> None:
    sidecar = parse_sidecar("a.jpg.json", json.dumps(TAKEOUT).encode())
    found = sidecar.embedded
    assert (found.title, found.description) == (None, "a red door")
    assert found.people == (NamedRegion("Ada Lovelace"),)
    assert found.position == (48.8583, 2.2945)
    assert found.times == (TimeTag("2024-05-03T17:22:10", "original", is_utc=True),)
    assert described(TAKEOUT) is None
    assert described({"title": "Trip", "access": "protected", "date": {"timestamp": "1"}}) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"annotations": [{"image_id": 1, "category_id": 7, "bbox": [float("1e308")] * 4}]},
        {"annotations": [{"image_id": 1, "category_id": 7, "bbox": ["a", None, {}, []]}]},
        {"annotations": [{"image_id": [1], "category_id": {}}, 5, None, [[]]]},
        {"images": [{"id": 1, "file_name": "0000.jpg", "width": -5, "height": "x"}]},
        {"categories": {"id": 7}},
    ],
)
def test_broken_coco_files_do_not_fail(changed: dict[str, Any]) -> None:
    data = json.dumps({**COCO, **changed}).encode()
    table = parse_json_table("t.json", data, lambda *_: None)
    assert table is not None
    sidecar = table.lookup("0000.jpg", lambda *_: None)
    for label in sidecar.embedded.labels if sidecar else ():
        assert label.box is None or label.box[0] < label.box[2]


def test_many_annotations_of_one_picture_are_cut() -> None:
    one = {"image_id": 1, "category_id": 7}
    many = [{**one, "bbox": [number % 400, 0, 1, 1]} for number in range(20_000)]
    sidecar = described({**COCO, "annotations": many})
    assert sidecar is not None
    assert len(sidecar.embedded.labels) <= MAX_BOXES


async def test_questions_about_pictures_are_not_ingested_as_text(bench: Bench, album: Path) -> None:
    """As `sightline world` and `sightline eval` write and read them; other rows are a text."""
    fill(album, 2)
    question = {"file_name": "0000.jpg", "kind": "reading", "question": "total?", "answer": "30.90"}
    lines = [json.dumps({**question, "file_name": f"images/000{n}.jpg"}) for n in (0, 1)]
    (album / "questions.jsonl").write_text("\n".join([*lines, ""]))
    (album / "support.jsonl").write_text('{"question": "reset?", "answer": "hold the button"}\n')
    (album / "mixed.jsonl").write_text(lines[0] + '\n{"note": "the ledger is closed"}\n')
    summary = await bench.ingest("album")
    assert (summary.added, summary.failed) == (4, 0)
    texts = " ".join(
        text for (text,) in await bench.rows("SELECT text FROM sightline.content_passage")
    )
    assert "hold the button" in texts
    assert "the ledger is closed" in texts
    assert texts.count("30.90") == 1  # of the mixed file


async def test_sidecars_of_all_kinds_reach_the_database(bench: Bench, album: Path) -> None:
    fill(album, 2)
    (album / "coco.json").write_text(json.dumps(COCO))
    (album / "a.png").write_bytes(encoded(picture(7), "PNG"))
    (album / "a.png.xmp").write_bytes(
        xmp('xmp:Rating="5"', bag("dc:subject", ["harbour"]) + face("Grace", 0.5, 0.5, 0.5, 0.5))
    )
    (album / "b.png").write_bytes(encoded(picture(8), "PNG"))
    (album / "b.png.supplemental-meta.json").write_text(json.dumps(TAKEOUT))
    (album / "metadata.json").write_text('{"title": "Trip", "access": "x", "date": {}}')
    (album / "notes.md").write_text("Nothing else.")
    (album / "notes.md.json").write_text('{"caption": "minutes of the harbour board", "year": 7}')
    summary = await bench.ingest("album")
    assert (summary.added, summary.failed) == (5, 0)
    labels = await bench.rows(
        "SELECT s.name, label, x0, y0, x1, y1 FROM sightline.annotation n JOIN sightline.asset a "
        "ON a.id = asset_id JOIN sightline.source s ON s.id = source_id ORDER BY s.name"
    )
    assert [row[:2] for row in labels] == [
        ("album/0000.jpg", "traffic light"),
        ("album/0001.jpg", "traffic light"),
        ("album/a.png", "Grace"),
    ]
    assert labels[0][2:] == pytest.approx((0.1, 0.1, 0.6, 0.6))
    assert labels[1][2:] == pytest.approx((0.25, 0.25, 0.75, 0.75))
    stored = dict(await bench.rows("SELECT name, metadata FROM sightline.source"))
    assert stored["album/0000.jpg"] == {"labels": ["traffic light"]}
    assert stored["album/a.png"] == {"keywords": ["harbour"], "people": ["Grace"], "rating": 5}
    assert stored["album/b.png"]["place"][1:] == ["Paris", "Île-de-France", "France"]
    assert stored["album/notes.md"] == {"year": 7}
    text = "SELECT kind, text FROM sightline.content_passage ORDER BY kind, text"
    found = await bench.rows(text)
    assert ("caption", "minutes of the harbour board") in found
    assert ("caption", "a street at night") in found
    assert ("metadata", "traffic light") in found
