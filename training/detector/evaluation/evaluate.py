"""Evaluate an exported detector on the test split, calibrated on the validation split."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.training.detector.data.album import Shard
from sightline.training.detector.data.phrases import (
    HELD_FOREIGN,
    Query,
    Vocabulary,
    all_queries,
)
from sightline.training.detector.evaluation.exported import (
    ExportedDetector,
    fit_calibration,
    scores,
)
from sightline.training.detector.evaluation.matching import Floats, Outcome, Precision, judge
from sightline.training.detector.evaluation.validate import choose_queries
from sightline.training.encoder.recipe import IMAGE_PX
from sightline.training.world.core.scene import LANGUAGES, Language
from sightline.training.world.core.splits import is_unseen

SURE: Final = 0.5
"""Score from which a box counts as reported."""
LIKELY: Final = 0.3
"""The default threshold of the server."""
_MIN_CALIBRATED: Final = 0.1
_BATCH: Final = 32
_ROUNDS: Final = 20
#: Families whose objects have a color in their combination.
_COLOURED: Final = ("street", "product", "room", "shapes")
_FOREIGN_PER_PICTURE: Final = 2
_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome of one phrase in one picture."""

    family: str
    language: Language
    query: Query
    present: bool
    near: bool
    """Absent, and only the color differs from something in the picture."""
    foreign: bool
    outcome: Outcome

    @property
    def unseen(self) -> bool | None:
        """Whether no training picture shows this color of this thing; None without a color."""
        if not self.query.colour or self.family not in _COLOURED:
            return None
        return is_unseen(f"{self.family}/{self.query.name}/{self.query.colour}")


def judge_pictures(detector: ExportedDetector, shards: Sequence[Shard]) -> Iterator[Judged]:
    """Look for present and absent phrases in each picture; languages and wordings vary."""
    vocabulary = Vocabulary([*all_queries(), *(Query(en) for en, _ in HELD_FOREIGN)])
    vectors = detector.phrases(vocabulary.texts)
    held = len(vocabulary.queries) - len(HELD_FOREIGN)
    number = 0
    for shard in shards:
        for start in range(0, len(shard.labels), _BATCH):
            labels = shard.labels[start : start + _BATCH]
            boxes, logits = detector.pictures(shard.pixels[start : start + _BATCH], vectors)
            for row, each in enumerate(labels):
                rng = np.random.default_rng((number, 11))
                meant = vocabulary.meant(each.targets)
                present, absent = choose_queries(meant, vocabulary, each.family, number)
                absent = [row for row in absent if row < held]
                owns = [q for q in np.flatnonzero(meant.any(axis=0)) if vocabulary.queries[q].own]
                foreign = rng.integers(held, len(vocabulary.queries), _FOREIGN_PER_PICTURE)
                names = {vocabulary.queries[q].name for q in present}
                language = LANGUAGES[number % 2]
                for query in (*present, *owns, *absent, *foreign):
                    rows = vocabulary.rows[query][language]
                    text = rows[int(rng.integers(len(rows)))]
                    truth = [each.targets[t].box for t in np.flatnonzero(meant[:, query])]
                    asked = vocabulary.queries[query]
                    yield Judged(
                        each.family,
                        language,
                        asked,
                        bool(truth),
                        not truth and asked.name in names,
                        query >= held,
                        judge(boxes[row], logits[row, :, text], truth),
                    )
                number += 1


def evaluate(folder: Path, validation: Sequence[Shard], test: Sequence[Shard]) -> dict[str, Any]:
    """Return the calibration from the validation split, and the figures of the test split."""
    detector = ExportedDetector(folder)
    fitted = [each.outcome for each in judge_pictures(detector, validation) if not each.query.own]
    calibration = fit_calibration(fitted)
    judged = list(judge_pictures(detector, test))
    named = [each for each in judged if not each.query.own]
    families = sorted({each.family for each in judged})
    return {
        "calibration": calibration,
        "pictures": sum(len(shard.labels) for shard in test),
        "phrases": len(named),
        "ap50": {
            "all": _ap(named),
            **{
                language: _ap([j for j in named if j.language == language])
                for language in LANGUAGES
            },
            **{family: _ap([j for j in named if j.family == family]) for family in families},
        },
        "coloured": {
            "seen combinations": _ap([j for j in named if j.unseen is False]),
            "unseen combinations": _ap([j for j in named if j.unseen is True]),
            "unseen boxes": sum(j.outcome.wanted for j in named if j.unseen is True),
        },
        "own_names": {
            family: _ap([j for j in judged if j.query.own and j.family == family])
            for family in ("chart", "flowchart", "spine")
        },
        "recall": {
            family: _recall([j for j in named if j.family == family], calibration)
            for family in families
        },
        "counts": _counts([j for j in named if j.present], calibration, SURE),
        "counts_likely": _counts([j for j in named if j.present], calibration, LIKELY),
        "false_positives": {
            "another color of a thing": _reported([j for j in named if j.near], calibration),
            "another thing of the world": _reported(
                [j for j in named if not (j.present or j.near or j.foreign)], calibration
            ),
            "a thing that no picture shows": _reported(
                [j for j in named if j.foreign], calibration
            ),
        },
        "calibration_bins": _bins([j.outcome for j in named], calibration),
        "milliseconds": _speed(folder),
    }


def _ap(judged: Sequence[Judged]) -> float:
    return round(Precision([each.outcome for each in judged]).average(), 4)


def _recall(judged: Sequence[Judged], calibration: dict[str, float]) -> float:
    wanted = sum(each.outcome.wanted for each in judged)
    found = sum(int(_sure(each.outcome, calibration, right=True)) for each in judged)
    return round(found / max(1, wanted), 4)


def _sure(outcome: Outcome, calibration: dict[str, float], *, right: bool = False) -> int:
    is_sure = scores(outcome.logits, calibration) >= SURE
    return int((is_sure & outcome.right).sum() if right else is_sure.sum())


def _counts(
    judged: Sequence[Judged], calibration: dict[str, float], threshold: float
) -> dict[str, float]:
    """Return the share of present phrases whose number of such boxes is the true one."""
    found: dict[str, float] = {}
    for family in sorted({each.family for each in judged}):
        own = [each for each in judged if each.family == family]
        exact = [
            int((scores(each.outcome.logits, calibration) >= threshold).sum())
            == each.outcome.wanted
            for each in own
        ]
        found[family] = round(float(np.mean(exact)), 4)
    return found


def _reported(judged: Sequence[Judged], calibration: dict[str, float]) -> dict[str, float]:
    """Return how many absent phrases got a sure box."""
    reported = [_sure(each.outcome, calibration) > 0 for each in judged]
    return {"phrases": len(reported), "share": round(float(np.mean(reported)), 4)}


def _bins(outcomes: Sequence[Outcome], calibration: dict[str, float]) -> dict[str, Any]:
    """Compare scores with the share of right boxes, and return the expected calibration error.

    Only of boxes with a score that matters: most boxes have nearly none.
    """
    all_scores = scores(np.concatenate([each.logits for each in outcomes]), calibration)
    right = np.concatenate([each.right for each in outcomes])
    counted = all_scores >= _MIN_CALIBRATED
    all_scores, right = all_scores[counted], right[counted]
    places = np.minimum((all_scores * _BINS).astype(int), _BINS - 1)
    rows, error = [], 0.0
    for place in range(_BINS):
        inside = places == place
        if inside.any():
            mean, share = float(all_scores[inside].mean()), float(right[inside].mean())
            error += abs(mean - share) * float(inside.mean())
            rows.append([round(mean, 3), round(share, 3), int(inside.sum())])
    return {"expected_error": round(error, 4), "score_right_boxes": rows}


def _speed(folder: Path) -> dict[str, float]:
    """Return the time of one picture with ten phrases; the best of several rounds."""
    found = {}
    for threads in (1, 2):
        detector = ExportedDetector(folder, threads)
        phrases: Floats = detector.phrases([f"thing {n}" for n in range(10)])
        picture = np.zeros((1, IMAGE_PX, IMAGE_PX, 3), np.uint8)
        times = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            detector.pictures(picture, phrases)
            times.append(time.perf_counter() - began)
        found[str(threads)] = round(1000 * min(times), 1)
    return found
