"""Measure the calibration of a confidence.

It is measured on the test split by the expected calibration error (Naeini et al., AAAI 2015; ten
bins of equal width) and the Brier score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.server.evaluation.calibration import confidence_fit
from sightline.server.models.detection.loading import BUILTIN_FOLDER
from sightline.tools.answers.checks.domain import KnownTextures, question_words
from sightline.tools.answers.rating.confidence import Calibration
from sightline.training.detector.data.phrases import Vocabulary, all_queries

BINS: Final = 10

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Mean confidence and accuracy of ``n`` answers of similar confidence."""

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Calibration of the confidence.

    ``calibration_error`` is the expected calibration error and ``brier`` the mean squared error,
    both 0 to 1. ``baseline_brier`` is the Brier score of always predicting the accuracy.
    """

    bins: tuple[ReliabilityBin, ...]
    calibration_error: float
    brier: float
    baseline_brier: float
    n: int


def measure_reliability(confidences: Sequence[float], correct: Sequence[bool]) -> Reliability:
    """Compare confidences with the accuracy in each bin."""
    predicted, actual = np.array(confidences, dtype=float), np.array(correct, dtype=float)
    indexes = np.minimum((predicted * BINS).astype(int), BINS - 1)
    bins = []
    for index in np.unique(indexes):
        inside = indexes == index
        bins.append(
            ReliabilityBin(
                float(predicted[inside].mean()), float(actual[inside].mean()), int(inside.sum())
            )
        )
    error = sum(each.n * abs(each.confidence - each.accuracy) for each in bins) / len(predicted)
    accuracy = actual.mean()
    return Reliability(
        tuple(bins),
        calibration_error=float(error),
        brier=float(((predicted - actual) ** 2).mean()),
        baseline_brier=float(accuracy * (1 - accuracy)),
        n=len(predicted),
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the weights, which ties a calibration to them."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def detector_vocabulary() -> str:
    """Return the calibration file of the built-in detector: the words that it knows."""
    words = set[str]().union(*map(question_words, Vocabulary(all_queries()).texts))
    provenance = {"words": "the phrases of sightline.training.detector"}
    return confidence_fit.to_json(
        Calibration(BUILTIN_FOLDER.name, 0, {}, provenance, known_words=frozenset(words))
    )


def known_textures(album: Path) -> str:
    """Return the file with the textures of the pictures in a folder."""
    paths = sorted(album.rglob("*.jpg"))
    return KnownTextures.fit(Image.open(path).convert("RGB") for path in paths).dump()


def draw_diagram(reliability: Reliability, path: Path) -> None:
    """Write the reliability diagram as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    confidences = [each.confidence for each in reliability.bins]
    accuracies = [each.accuracy for each in reliability.bins]
    top.plot((0, 1), (0, 1), color="#999999", linewidth=1, label="perfect calibration")
    top.plot(confidences, accuracies, "o-", color="#0072B2", label="measured")
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    top.set_title(
        f"ECE {reliability.calibration_error:.3f}, Brier {reliability.brier:.3f}, "
        f"n {reliability.n}",
        fontsize=10,
    )
    top.legend(frameon=False, loc="upper left", fontsize=9)
    bottom.bar(confidences, [each.n for each in reliability.bins], width=0.05, color="#0072B2")
    bottom.set(xlabel="confidence", ylabel="answers")
    figure.savefig(path, dpi=110, metadata={"Software": None})
