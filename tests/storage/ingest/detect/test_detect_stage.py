"""Detection of a collection's vocabulary at the end of an ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from sightline.storage.errors import ConfigurationError
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.storage.ingest.conftest import Bench
from tests.support.color_detector import ColorDetector

DETECT = "detect"


def draw(path: Path, **boxes: tuple[int, int, int, int]) -> None:
    """Draw rectangles of plain colors on gray: ``red=(0, 0, 50, 50)``; 100 x 100 pixels."""
    image = Image.new("RGB", (100, 100), (128, 128, 128))
    for color, box in boxes.items():
        ImageDraw.Draw(image).rectangle(box, color)
    image.save(path)


@pytest.fixture
def detector(bench: Bench) -> ColorDetector:
    bench.detector = detector = ColorDetector()
    return detector


@pytest.fixture
def pictures(album: Path) -> Path:
    draw(album / "red.png", red=(0, 0, 49, 49))
    draw(album / "both.png", red=(0, 0, 24, 99), blue=(50, 50, 99, 99))
    draw(album / "none.png")
    return album


async def boxes(bench: Bench) -> dict[str, list[str]]:
    """Return the labels of the detections of each file, sorted."""
    rows = await bench.rows(
        "SELECT s.name, array_agg(n.label ORDER BY n.label) FROM sightline.annotation n "
        "JOIN sightline.asset a ON a.id = n.asset_id JOIN sightline.source s ON s.id = a.source_id "
        "WHERE n.origin = 'detector' GROUP BY s.name"
    )
    return {Path(name).stem: labels for name, labels in rows}


async def test_the_vocabulary_becomes_boxes_that_filters_and_analysts_find(
    bench: Bench, detector: ColorDetector, pictures: Path
) -> None:
    await bench.ingest(pictures, settings={DETECT: ["red thing", "Blue  thing".lower()]})
    assert await boxes(bench) == {"red": ["red thing"], "both": ["blue thing", "red thing"]}
    [(label, x0, y1, score, model)] = await bench.rows(
        "SELECT label, x0, y1, score, model FROM sightline.annotation WHERE label = 'blue thing'"
    )
    assert (label, x0, y1, score, model) == ("blue thing", 0.5, 1.0, 1.0, "test-colors")
    counted = await bench.rows(
        "SELECT label, sum(object_count)::int, max(model) FROM analytics.detections "
        "WHERE collection = 'album' GROUP BY label ORDER BY label"
    )
    assert counted == [("blue thing", 1, "test-colors"), ("red thing", 2, "test-colors")]

    search = ImageSearch(bench.database, bench.encoder, bench.encoder, signing_key=b"k")

    async def found(**filters: Any) -> set[str]:
        request = ImageRequest(selection=Selection(filters=filters), limit=10)
        hits = (await search.search(request)).hits
        return {Path(hit.asset.source).stem for hit in hits}

    assert await found(objects={"contains": "Red thing"}) == {"red", "both"}
    assert await found(objects=["blue thing", "green thing"]) == {"both"}
    assert await found(objects={"all": ["blue thing", "red thing"]}) == {"both"}
    assert await found(objects={"nin": ["blue thing"]}) == {"red", "none"}
    assert await found(objects={"is_empty": True}) == {"none"}


async def test_another_vocabulary_replaces_the_boxes_and_no_vocabulary_removes_them(
    bench: Bench, detector: ColorDetector, pictures: Path
) -> None:
    await bench.ingest(pictures, settings={DETECT: ["red"]})
    await bench.rows(
        "INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, origin) "
        "SELECT id, 'mine', 0, 0, 1, 1, 'person' FROM sightline.asset LIMIT 1 RETURNING 1"
    )
    await bench.ingest(pictures, settings={DETECT: ["blue", "green"]})
    assert await boxes(bench) == {"both": ["blue"]}
    await bench.ingest(pictures, settings={DETECT: []})
    assert await boxes(bench) == {}
    assert await bench.rows("SELECT label FROM sightline.annotation") == [("mine",)]
    assert await bench.rows("SELECT 1 FROM sightline.asset WHERE detection_run IS NOT NULL") == []
    assert [phrases for _, phrases in detector.searched] == [("red",), ("blue", "green")]


async def test_an_ingest_searches_only_new_pictures(
    bench: Bench, detector: ColorDetector, pictures: Path
) -> None:
    await bench.ingest(pictures, settings={DETECT: ["red"]})
    draw(pictures / "late.png", red=(60, 60, 99, 99))
    await bench.ingest(pictures)
    await bench.ingest(pictures)
    assert [count for count, _ in detector.searched] == [3, 1]
    assert await boxes(bench) == {"red": ["red"], "both": ["red"], "late": ["red"]}
    bench.detector = ColorDetector("other-colors")
    await bench.ingest(pictures)
    models = await bench.rows("SELECT DISTINCT model FROM sightline.annotation")
    assert models == [("other-colors",)]


async def test_without_a_vocabulary_the_detector_is_not_even_loaded(
    bench: Bench, pictures: Path
) -> None:
    class Unloadable:
        async def get(self) -> ColorDetector:
            raise AssertionError("it was loaded")

    bench.detector = Unloadable()
    summary = await bench.ingest(pictures)
    assert (summary.added, "detect" in summary.as_json()["stages"]) == (3, False)


async def test_a_detector_that_fails_is_reported_and_the_next_ingest_tries_again(
    bench: Bench, detector: ColorDetector, pictures: Path
) -> None:
    detector.broken = "out of memory"
    summary = await bench.ingest(pictures, settings={DETECT: ["red"]})
    assert summary.added == 3
    assert summary.warnings["not_detected"].examples == (("album", "out of memory"),)
    detector.broken = None
    await bench.ingest(pictures)
    assert await boxes(bench) == {"red": ["red"], "both": ["red"]}


async def test_a_picture_that_is_gone_does_not_stop_the_others(
    bench: Bench, detector: ColorDetector, pictures: Path
) -> None:
    await bench.ingest(pictures)
    upload = Upload("up.png", (pictures / "red.png").read_bytes() + b"\0")
    (pictures / "red.png").unlink()
    summary = await bench.ingest(upload, settings={DETECT: ["red"]})
    [(name, reason)] = summary.warnings["not_detected"].examples
    assert name.endswith("red.png")
    assert "no longer exists" in reason or "missing" in reason
    assert await boxes(bench) == {"both": ["red"], "up": ["red"]}


@pytest.mark.parametrize("value", ["van", [1], ["x" * 101], [" "], ["x"] * 101])
async def test_an_invalid_vocabulary_is_refused_before_the_ingest(
    bench: Bench, detector: ColorDetector, pictures: Path, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=r"'detect' of collection 'album'"):
        await bench.ingest(pictures, settings={DETECT: value})
    assert await bench.rows("SELECT 1 FROM sightline.asset") == []


async def test_a_vocabulary_needs_a_detector(bench: Bench, pictures: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"set detector.model"):
        await bench.ingest(pictures, settings={DETECT: ["van"]})
