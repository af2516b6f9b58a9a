"""Fits the confidence of answers, and measures how well it holds.

A logistic regression with a ridge penalty, by Newton's method, on answers to questions of the
drawn world's validation split; measured on its test split by the expected calibration error (Naeini
et al., AAAI 2015; ten bins of equal width) and the Brier score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sightline.server.evaluation.answers.answer_metrics import Score

BINS: Final = 10
_RIDGES: Final = (1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS: Final = 5
_STEPS: Final = 50
_SETTLED: Final = 1e-8

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of about one confidence: how sure they were on average, how many were right."""

    confidence: float
    right: float
    n: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """``error`` is the expected calibration error, ``brier`` the mean squared error, 0 to 1.

    ``base`` is the Brier score of always giving the share that is right.
    """

    bins: tuple[Bin, ...]
    error: float
    brier: float
    base: float
    n: int


def fit(scores: Sequence[Score]) -> tuple[float, dict[str, float]]:
    """Intercept and weights by feature; answers without features (no evidence) are left out.

    The penalty is the one under which answers about pictures left out of the fit are likeliest.
    """
    rated = [each for each in scores if each.features]
    names = list(rated[0].features)
    table = np.array([[each.features[name] for name in names] for each in rated])
    right = np.array([float(each.right) for each in rated])
    means, spreads = table.mean(axis=0), table.std(axis=0)
    # A feature that never changes says nothing: it gets the weight 0.
    steady = spreads == 0
    spreads = np.where(steady, 1, spreads)
    scaled = np.where(steady, 0.0, (table - means) / spreads)
    topics = np.unique([each.question.topic or each.question.question for each in rated])
    places = {topic: place for place, topic in enumerate(topics)}
    folds = np.array(
        [places[each.question.topic or each.question.question] % _FOLDS for each in rated]
    )
    ridge = min(_RIDGES, key=lambda each: _held_out_loss(scaled, right, folds, each))
    intercept, weights = logistic(scaled, right, ridge)
    weights = np.where(steady, 0.0, weights / spreads)
    return float(intercept - weights @ means), dict(zip(names, map(float, weights), strict=True))


def _held_out_loss(table: Array, right: Array, folds: NDArray[np.int_], ridge: float) -> float:
    """Mean log loss of every answer under a fit to the folds that it is not in."""
    losses = np.zeros(len(right))
    for fold in np.unique(folds):
        out = folds == fold
        if out.all():
            return 0.0  # one topic: nothing can be held out
        intercept, weights = logistic(table[~out], right[~out], ridge)
        chance = 1 / (1 + np.exp(-np.clip(intercept + table[out] @ weights, -30, 30)))
        losses[out] = -np.log(np.where(right[out] == 1, chance, 1 - chance))
    return float(losses.mean())


def logistic(table: Array, right: Array, ridge: float) -> tuple[float, Array]:
    """Intercept and weights, of shape (features,), of the likeliest model under the penalty.

    ``table`` has shape (n, features), its columns of mean 0 and spread 1; ``right`` is 0 or 1 of
    shape (n,). The intercept goes without penalty.
    """
    design = np.column_stack([np.ones(len(table)), table])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-9
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (right - chance) - penalty * found
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        found += step
        if np.abs(step).max() < _SETTLED:
            break
    return float(found[0]), found[1:]


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> Reliability:
    """How often answers of each confidence are right."""
    sure, good = np.array(confidences, dtype=float), np.array(right, dtype=float)
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(
            float(sure[places == b].mean()),
            float(good[places == b].mean()),
            int((places == b).sum()),
        )
        for b in range(BINS)
        if (places == b).any()
    ]
    error = sum(each.n * abs(each.confidence - each.right) for each in bins) / len(sure)
    share = good.mean()
    return Reliability(
        tuple(bins),
        float(error),
        float(((sure - good) ** 2).mean()),
        float(share * (1 - share)),
        len(sure),
    )


def write(path: Path, model: str, fitted: tuple[float, Mapping[str, float]], made: Any) -> None:
    """The file that `sightline.tools.answers.confidence` reads."""
    intercept, weights = fitted
    data = {
        "model": model,
        "made": made,
        "intercept": round(intercept, 5),
        "weights": {name: round(weight, 5) for name, weight in weights.items()},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fingerprint(weights: Path) -> str:
    """SHA-256 of a checkpoint, by which it is known that a calibration is of other weights."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def draw(found: Reliability, path: Path) -> None:
    """The reliability diagram as PNG: right answers over confidence, and how many there are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 5), layout="constrained")
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    sure = [each.confidence for each in found.bins]
    top.plot((0, 1), (0, 1), color="#999999", linewidth=1, label="as sure as right")
    top.plot(sure, [each.right for each in found.bins], "o-", color="#0072B2", label="measured")
    top.set(ylabel="answers that are right", xlim=(0, 1), ylim=(0, 1))
    top.set_title(f"ECE {found.error:.3f}, Brier {found.brier:.3f}, n {found.n}", fontsize=10)
    top.legend(frameon=False, loc="upper left", fontsize=9)
    low.bar(sure, [each.n for each in found.bins], width=0.05, color="#0072B2")
    low.set(xlabel="confidence", ylabel="answers")
    figure.savefig(path, dpi=110, metadata={"Software": None})
