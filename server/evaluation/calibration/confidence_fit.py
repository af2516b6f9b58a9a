"""Fit the confidence of answers and its thresholds.

The model is a logistic regression with a ridge penalty, fitted by Newton's method to answers with
known truth: about the validation split of the synthetic world, or about a user's questions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sightline.server.evaluation.answer_metrics import AnswerScore
from sightline.storage.errors import InvalidArgumentError
from sightline.tools.answers.rating.confidence import (
    Calibration,
    Thresholds,
    has_outcome,
    outcome_names,
)

_RIDGE_PENALTIES: Final = (1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS: Final = 5
_MAX_STEPS: Final = 50
_TOLERANCE: Final = 1e-8
_MIN_SUPPORTED_PRECISION: Final = 0.975
_MAX_RIGHT_AMONG_DENIED: Final = 0.3
_MAX_RIGHT_WITHHELD: Final = 0.03
#: A claim that is likelier right than wrong is not contradicted.
_MAX_CHANCE_OF_DENIED: Final = 0.5

#: Fewer supported claims say too little about a check.
_MIN_SUPPORTED: Final = 5
#: Fewer answers say too little about some twenty coefficients.
MIN_ANSWERS: Final = 40

Array = NDArray[np.float64]


def calibrate(
    model: str,
    scores: Sequence[AnswerScore],
    provenance: Mapping[str, Any],
    known_words: Collection[str] = (),
) -> Calibration:
    """Return the calibration of a model, fitted to its answers.

    Raises InvalidArgumentError if the answers are too few, or all right or all wrong.
    """
    rated = [each for each in scores if each.features]
    right = sum(each.draft_correct for each in rated)
    if len(rated) < MIN_ANSWERS or right in (0, len(rated)):
        raise InvalidArgumentError(
            f"{len(rated)} answers, {right} of them right, are not enough to calibrate. Give at "
            f"least {MIN_ANSWERS} questions, some of which the model answers wrongly."
        )
    intercept, weights = fit(rated)
    trusted = choose_trusted(rated)
    fitted = Calibration(model, intercept, weights, provenance, trusted=trusted)
    return replace(
        fitted,
        provenance={**provenance, "answers": len(rated), "accuracy": round(right / len(rated), 4)},
        thresholds=choose_thresholds(rated, fitted),
        known_words=frozenset(known_words),
    )


def fit(scores: Sequence[AnswerScore]) -> tuple[float, dict[str, float]]:
    """Return the intercept and the weights by feature.

    Answers without features (no evidence) are left out. Cross-validation over images selects the
    penalty.
    """
    rated = [each for each in scores if each.features]
    names = list(rated[0].features)
    table = np.array([[each.features[name] for name in names] for each in rated])
    correct = np.array([float(each.draft_correct) for each in rated])
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


def choose_trusted(scores: Sequence[AnswerScore]) -> frozenset[str]:
    """Return the outcomes of checks that decide a verdict, whatever the confidence.

    Supporting outcomes, the most precise first, as long as the claims that one of them supports are
    right as often as required. Contradicting outcomes, unless they were mostly wrong.
    """
    drafts = _drafts(scores)
    supporting: list[tuple[float, int, str]] = []
    for name in outcome_names("supported"):
        right = [each.draft_correct for each in drafts if each.features.get(name, 0.0) > 0]
        if len(right) >= _MIN_SUPPORTED:
            supporting.append((sum(right) / len(right), len(right), name))
    trusted: set[str] = set()
    for _, _, name in sorted(supporting, reverse=True):
        wider = trusted | {name}
        right = [e.draft_correct for e in drafts if has_outcome(e.features, wider, "supported")]
        if sum(right) >= _MIN_SUPPORTED_PRECISION * len(right):
            trusted = wider
    for name in outcome_names("contradicted"):
        right = [each.draft_correct for each in drafts if each.features.get(name, 0.0) > 0]
        if sum(right) <= _MAX_RIGHT_AMONG_DENIED * len(right):
            trusted.add(name)
    return frozenset(trusted)


def choose_thresholds(scores: Sequence[AnswerScore], fitted: Calibration) -> Thresholds:
    """Return the thresholds of verdicts and answers, on the answers that were fitted.

    ``supported`` is the lowest probability from which claims that a check supports are right as
    often as required; ``contradicted`` the highest up to which denied claims are wrong often
    enough; ``answered`` withholds no more than the allowed share of the right answers.
    """
    drafts = _drafts(scores)
    if not drafts:
        return Thresholds()
    chances = np.array([fitted.confidence(each.features) for each in drafts])
    right = np.array([each.draft_correct for each in drafts])
    backed = np.array([each.features.get("backed", 0.0) > 0 for each in drafts])
    denied = np.array([each.features.get("denied", 0.0) > 0 for each in drafts])
    borne, refuted = (
        np.array([has_outcome(each.features, fitted.trusted, outcome) for each in drafts])
        for outcome in ("supported", "contradicted")
    )
    supported = 1.0
    for least in np.unique(chances[backed & ~borne])[::-1]:
        if right[backed & (borne | (chances >= least))].mean() < _MIN_SUPPORTED_PRECISION:
            break
        supported = float(least)
    contradicted = 0.0
    for most in np.unique(chances[denied & (chances <= _MAX_CHANCE_OF_DENIED)]):
        if right[denied & (chances <= most)].mean() > _MAX_RIGHT_AMONG_DENIED:
            break
        contradicted = float(most)
    is_supported = backed & (borne | (chances >= supported))
    lost = denied & (refuted | (chances <= contradicted))
    answered = 0.0
    for least in np.unique(chances):
        withheld = lost | (~is_supported & (chances < least))
        if (withheld & right).sum() > _MAX_RIGHT_WITHHELD * right.sum():
            break
        answered = float(least)
    return Thresholds(supported, contradicted, answered)


def _drafts(scores: Sequence[AnswerScore]) -> list[AnswerScore]:
    """Return the answers with claims, also those that were withheld."""
    return [each for each in scores if each.features and not each.features.get("not_shown")]


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


def to_json(calibration: Calibration) -> str:
    """Return the file that `sightline.tools.answers.rating.confidence` loads."""
    data: dict[str, Any] = {
        "model": calibration.model,
        "provenance": dict(calibration.provenance),
        "intercept": round(calibration.intercept, 5),
        "weights": {name: round(weight, 5) for name, weight in calibration.weights.items()},
        "thresholds": {
            name: round(each, 5) for name, each in asdict(calibration.thresholds).items()
        },
    }
    if calibration.trusted:
        data["trusted"] = sorted(calibration.trusted)
    if calibration.known_words:
        data["known_words"] = sorted(calibration.known_words)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
