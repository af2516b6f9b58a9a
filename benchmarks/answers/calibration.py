"""Fit the confidence of answers and measure its calibration.

The model is a logistic regression with a ridge penalty, fitted by Newton's method to answers about
the validation split of the synthetic world. It is measured on the test split by the expected
calibration error (Naeini et al., AAAI 2015; ten bins of equal width) and the Brier score.
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

from sightline.server.evaluation.answer_metrics import AnswerScore

BINS: Final = 10
_RIDGE_PENALTIES: Final = (1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS: Final = 5
_MAX_STEPS: Final = 50
_TOLERANCE: Final = 1e-8

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


def fit(scores: Sequence[AnswerScore]) -> tuple[float, dict[str, float]]:
    """Return the intercept and the weights by feature.

    Answers without features (no evidence) are left out. Cross-validation over images selects the
    penalty.
    """
    rated = [each for each in scores if each.features]
    names = list(rated[0].features)
    table = np.array([[each.features[name] for name in names] for each in rated])
    correct = np.array([float(each.correct) for each in rated])
    means, deviations = table.mean(axis=0), table.std(axis=0)
    # A constant feature has no information: its weight is 0.
    constant = deviations == 0
    deviations = np.where(constant, 1, deviations)
    scaled = np.where(constant, 0.0, (table - means) / deviations)
    _, topics = np.unique(
        [each.question.topic or each.question.question for each in rated], return_inverse=True
    )
    folds = topics % _FOLDS
    ridge = min(_RIDGE_PENALTIES, key=lambda each: _validation_loss(scaled, correct, folds, each))
    intercept, weights = fit_logistic(scaled, correct, ridge)
    weights = np.where(constant, 0.0, weights / deviations)
    return float(intercept - weights @ means), dict(zip(names, map(float, weights), strict=True))


def _validation_loss(table: Array, correct: Array, folds: NDArray[np.int_], ridge: float) -> float:
    """Return the mean log loss of each answer under a fit without its fold."""
    losses = np.zeros(len(correct))
    for fold in np.unique(folds):
        held_out = folds == fold
        if held_out.all():
            return 0.0  # With one topic, cross-validation is not possible.
        intercept, weights = fit_logistic(table[~held_out], correct[~held_out], ridge)
        probability = _sigmoid(intercept + table[held_out] @ weights)
        losses[held_out] = -np.log(np.where(correct[held_out] == 1, probability, 1 - probability))
    return float(losses.mean())


def fit_logistic(table: Array, correct: Array, ridge: float) -> tuple[float, Array]:
    """Return the intercept (without penalty) and the weights, shape (features,).

    ``table`` has shape (n, features), each column with mean 0 and standard deviation 1;
    ``correct`` is 0 or 1, shape (n,).
    """
    design = np.column_stack([np.ones(len(table)), table])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-9
    coefficients = np.zeros(design.shape[1])
    for _ in range(_MAX_STEPS):
        probability = _sigmoid(design @ coefficients)
        gradient = design.T @ (correct - probability) - penalty * coefficients
        variance = probability * (1 - probability)
        hessian = (design * variance[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        coefficients += step
        if np.abs(step).max() < _TOLERANCE:
            break
    return float(coefficients[0]), coefficients[1:]


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))))


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


def write_calibration(
    path: Path, model: str, fitted: tuple[float, Mapping[str, float]], provenance: Any
) -> None:
    """Write the file that `sightline.tools.answers.confidence` loads."""
    intercept, weights = fitted
    data = {
        "model": model,
        "provenance": provenance,
        "intercept": round(intercept, 5),
        "weights": {name: round(weight, 5) for name, weight in weights.items()},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the weights, which ties a calibration to them."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
