"""Albums without captions have no text from which words could find a picture."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from benchmarks.search_quality.uncaptioned import copy_photographs


def test_photographs_are_copied_without_the_text_in_their_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a zebra"  # ImageDescription
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 30)).save(tmp_path / "1.jpg", exif=exif, comment=b"a zebra")
    coco = {
        "categories": [{"id": 1, "name": "zebra"}],
        "images": [{"id": 1, "file_name": "1.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 1, "area": 9}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(coco))
    queries = copy_photographs(tmp_path, tmp_path / "album")
    assert {each.text for each in queries} == {"zebra", "a photo of a zebra"}
    with Image.open(tmp_path / "album" / "1.jpg") as copy:
        assert copy.size == (30, 40)
        assert not copy.getexif()
        assert "comment" not in copy.info
