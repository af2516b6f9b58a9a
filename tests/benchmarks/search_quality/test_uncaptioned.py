"""Albums without captions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.search_quality import uncaptioned


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("1", "2"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.jpg")
    labels = ("dog", "kite", "boat")
    shown = ((1, 1, 30), (1, 2, 20), (2, 1, 9))
    coco = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(labels, 1)],
        "annotations": [
            {"image_id": image, "category_id": label, "area": area} for image, label, area in shown
        ],
    }
    (folder / "instances.json").write_text(json.dumps(coco), encoding="utf-8")
    return folder


def test_photographs_get_queries_for_their_objects(photos: Path, tmp_path: Path) -> None:
    queries = uncaptioned.copy_photographs(photos, tmp_path / "album")
    found = {query.text: (query.group, query.relevant) for query in queries}
    assert found == {
        "boat": ("word, not shown", frozenset()),
        "dog": ("word", {"1", "2"}),
        "a photo of a dog": ("phrase", {"1", "2"}),
        "kite": ("word", {"1"}),
        "a photo of a kite": ("phrase", {"1"}),
        "a dog and a kite": ("two objects", {"1"}),
    }
    assert {path.name for path in (tmp_path / "album").iterdir()} == {"1.jpg", "2.jpg"}


def test_the_quarters_of_a_picture_are_relevant_too(photos: Path, tmp_path: Path) -> None:
    queries = uncaptioned.copy_photographs(photos, tmp_path / "album")
    with_crops = uncaptioned.add_crops(tmp_path / "album", queries)
    assert len(list((tmp_path / "album").iterdir())) == 10
    (kite,) = (query for query in with_crops if query.text == "kite")
    assert kite.relevant == {"1", "11", "12", "13", "14"}


def test_copies_of_products_have_names_that_say_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "Red-Plum.jpg")
    row = {"file_name": "Red-Plum.jpg", "product": "Red-Plum", "caption": "A plum."}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (query,) = uncaptioned.copy_products(tmp_path, tmp_path / "album")
    assert (query.text, query.relevant) == ("red plum", {"00000"})
    assert [path.name for path in (tmp_path / "album").iterdir()] == ["00000.jpg"]


def test_the_synthetic_album_has_no_captions(tmp_path: Path) -> None:
    album, queries = uncaptioned.render_synthetic(tmp_path / "synthetic", count=9, seed=3)
    pictures = {path.stem for path in album.rglob("*") if path.is_file()}
    assert len(pictures) == 9
    assert all(query.relevant <= pictures for query in queries)
    assert "synthetic caption" in {query.group for query in queries}
