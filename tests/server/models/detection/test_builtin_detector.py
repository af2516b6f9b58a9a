"""The built-in detector, with its shipped weights, on pictures of the test split."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from sightline.server.config.model_settings import DetectorSettings
from sightline.server.models.detection import PhraseDetector, load
from sightline.server.models.detection.loading import BUILTIN_FOLDER
from sightline.storage.interfaces import Detection
from sightline.training.world.core.scene import Scene
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import draw

_SCENES = 12


@pytest.fixture(scope="module")
def detector() -> Iterator[PhraseDetector]:
    loaded = load(DetectorSettings(device="cpu", threshold=0.3))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Streets and shapes with one object of each name."""
    drawn = [
        draw(family, seed_of("test", 7_000 + number), "test")
        for family in ("street", "shapes")
        for number in range(_SCENES)
    ]
    return [each for each in drawn if len({o.label for o in each.objects}) == len(each.objects)]


def _covers(found: Detection, scene: Scene, label: str) -> bool:
    (box,) = (each.box for each in scene.objects if each.label == label)
    size = np.array([*scene.image.size, *scene.image.size])
    a, b = np.array(found.box) * size, np.array(box)
    shared = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return bool(shared >= 0.5 * union)


async def test_it_finds_things_by_name_and_color_in_both_languages(
    detector: PhraseDetector, scenes: list[Scene]
) -> None:
    right = total = 0
    for scene in scenes:
        wanted = {
            f"the {each.attributes['colour']} {each.label}": each.label
            for each in scene.objects
            if "colour" in each.attributes
        }
        [found] = await detector.detect([detector.preprocess(scene.image)], list(wanted))
        for phrase, label in wanted.items():
            total += 1
            right += any(_covers(each, scene, label) for each in found if each.phrase == phrase)
    assert total >= 20
    assert right / total >= 0.6
    street = next(each for each in scenes if each.family == "street")
    [found] = await detector.detect([detector.preprocess(street.image)], ["vehicle", "车辆"])
    assert {each.phrase for each in found} == {"vehicle", "车辆"}


async def test_absent_things_get_no_sure_box(detector: PhraseDetector, scenes: list[Scene]) -> None:
    pictures = [detector.preprocess(each.image) for each in scenes]
    found = await detector.detect(pictures, ["giraffe", "piano", "a sofa", "狮子"])
    assert sum(each.score >= 0.5 for row in found for each in row) <= len(scenes) // 4


async def test_detections_are_best_first_within_the_picture_and_above_the_threshold(
    detector: PhraseDetector, scenes: list[Scene]
) -> None:
    pictures = [detector.preprocess(each.image) for each in scenes]
    rows = await detector.detect(pictures, ["vehicle", "shape", "  "])
    assert len(rows) == len(scenes)
    for row in rows:
        assert [each.score for each in row] == sorted((e.score for e in row), reverse=True)
        for each in row:
            x0, y0, x1, y1 = each.box
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
            assert 0.3 <= each.score <= 1
    assert await detector.detect([], ["vehicle"]) == []
    assert await detector.detect(pictures[:1], []) == [[]]


async def test_a_picture_gives_the_same_boxes_alone_and_in_a_batch(
    detector: PhraseDetector, scenes: list[Scene]
) -> None:
    pictures = [detector.preprocess(each.image) for each in scenes[:3]]
    together = await detector.detect(pictures, ["vehicle", "circle"])
    for picture, expected in zip(pictures, together, strict=True):
        [alone] = await detector.detect([picture], ["vehicle", "circle"])
        assert [each.phrase for each in alone] == [each.phrase for each in expected]
        assert np.allclose([e.box for e in alone], [e.box for e in expected], atol=1e-3)


def test_the_preprocessing_can_go_to_worker_processes(
    detector: PhraseDetector, scenes: list[Scene]
) -> None:
    prepared = pickle.loads(pickle.dumps(detector.preprocess))(scenes[0].image)
    assert np.array_equal(prepared, detector.preprocess(scenes[0].image))
    assert prepared.shape == (160, 160, 3)


def test_the_weights_are_small_and_the_card_has_the_figures() -> None:
    size = sum(each.stat().st_size for each in BUILTIN_FOLDER.iterdir())
    assert size < 12_000_000
    figures = json.loads((BUILTIN_FOLDER / "figures.json").read_text(encoding="utf-8"))
    config = json.loads((BUILTIN_FOLDER / "detector_config.json").read_text(encoding="utf-8"))
    card = (BUILTIN_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert config["calibration"] == figures["calibration"]
    assert f"| all | {figures['ap50']['all']:.3f} |" in card
    assert figures["milliseconds"]["2"] < 120
