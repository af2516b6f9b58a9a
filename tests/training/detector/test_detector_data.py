"""Targets, phrases and patch assignment of the detector's training."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.storage.boxes.suppression import suppress
from sightline.training.detector.data.phrases import Query, Vocabulary, all_queries
from sightline.training.detector.data.targets import Target, targets_of
from sightline.training.detector.evaluation.exported import fit_calibration
from sightline.training.detector.evaluation.matching import Outcome, Precision, judge
from sightline.training.detector.model.losses import assign_patches
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw

_ROLES = {
    "the title": "title",
    "the price": "price",
    "the product ID": "product number",
    "the part number": "part number",
    "the question": "question",
    "the clock": "clock",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_agree_with_the_location_questions_of_the_world(family: str) -> None:
    for number in range(8):
        scene = draw(family, seed_of("train", number), "train")
        targets = targets_of(scene)
        assert all(each.names for each in targets)
        size = np.array([*scene.image.size, *scene.image.size])
        for question in scene.questions:
            name = _ROLES.get(question.answer)
            if question.kind == "location" and question.language == "en" and name:
                boxes = [each.box for each in targets if name in each.names]
                wanted = np.clip(np.array(question.box) / size, 0, 1)
                assert any(np.abs(np.array(box) - wanted).max() < 0.01 for box in boxes), name


def test_a_query_means_the_things_of_its_name_color_and_own_name() -> None:
    queries = [
        Query("van"),
        Query("vehicle", "red"),
        Query("van", "blue"),
        Query("bar", own="bar of Lime"),
        Query("dog"),
    ]
    targets = [
        Target((0, 0, 1, 1), ("van", "vehicle"), "red"),
        Target((0, 0, 1, 1), ("bar",), "blue", "bar of Lime"),
        Target((0, 0, 1, 1), ("bar",), "blue", "bar of Fig"),
    ]
    meant = Vocabulary(queries).meant(targets)
    assert meant.tolist() == [
        [True, True, False, False, False],
        [False, False, False, True, False],
        [False, False, False, False, False],
    ]


def test_wordings_are_distinct_and_name_what_they_mean() -> None:
    assert Query("van", "grey").wordings("en")[:2] == ("grey van", "the grey van")
    assert "a gray van" in Query("van", "grey").wordings("en")
    assert "红色的面包车" in Query("van", "red").wordings("zh")
    assert "bar for Lime" in Query("bar", own="bar of Lime").wordings("en")
    for query in all_queries():
        for language in ("en", "zh"):
            wordings = query.wordings(language)  # type: ignore[arg-type]
            assert len(set(wordings)) == len(wordings) > 0
            assert not any("  " in each or each != each.strip() for each in wordings)


def test_a_patch_belongs_to_the_smallest_box_around_its_center() -> None:
    small = (0.52, 0.52, 0.58, 0.58)  # around no center of a patch
    owners = assign_patches([(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5), small], 4)
    assert owners.reshape(4, 4).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]]


def test_average_precision_counts_missed_and_doubled_boxes() -> None:
    boxes = np.array([[0, 0, 0.4, 0.4], [0, 0, 0.39, 0.4], [0.5, 0.5, 0.9, 0.9]])
    logits = np.array([2.0, 1.0, 0.0])
    assert suppress(boxes, logits) == [0, 2]
    outcome = judge(boxes, logits, [(0.0, 0.0, 0.4, 0.4), (0.6, 0.0, 0.9, 0.3)])
    assert outcome.right.tolist() == [True, False]
    assert Precision([outcome]).average() == pytest.approx(0.5)
    assert Precision([judge(boxes, logits, [])]).average() != 0


def test_the_calibration_gives_the_share_of_right_boxes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * logits - 0.7)))
    fitted = fit_calibration([Outcome(logits, right, 0)])
    assert fitted["slope"] == pytest.approx(1.5, abs=0.1)
    assert fitted["offset"] == pytest.approx(-0.7, abs=0.1)
