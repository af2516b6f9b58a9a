"""The confidence of an answer: a calibrated probability that it is right.

Logistic regression over features of the finished answer (Platt, 1999, with several features): the
outcomes of the checks, the second answer of the model, and its log-probabilities. The coefficients
and thresholds are JSON files, fitted by ``benchmarks.answers`` on the validation split of the
synthetic world, or by ``sightline eval --calibrate`` on a user's questions. They are valid only for
the model that they name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from sightline.tools.answers.answer_context import Evidence, ImageEvidence
from sightline.tools.answers.answer_parser import Draft
from sightline.tools.answers.claim_verification import VerifiedClaim
from sightline.tools.answers.text_matching import is_no, is_yes, numbers
from sightline.tools.vlm.vision_language_model import Reply, Token

FOLDER: Final = "calibrations"
#: Used if the server returns no log-probabilities.
_DEFAULT_LOG_PROBABILITY: Final = -0.5
_MIN_LOG_PROBABILITY: Final = -10.0
#: The independent checks whose outcomes are features.
CHECK_NAMES: Final = (
    *("count", "existence", "name", "location", "relation", "neighbor"),
    *("color", "color in claim box", "ground color"),
    *("reading", "comparison", "time of day"),
)
_OUTCOMES: Final = ("supported", "contradicted")
#: The words of the claim are in the text of its evidence.
WRITTEN: Final = "written"

Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities (0 to 1) that a verdict or an answer needs.

    A claim is ``supported`` only from ``supported``, and ``contradicted`` only up to
    ``contradicted``. Below ``answered``, an answer is uncertain.
    """

    supported: float = 0.0
    contradicted: float = 1.0
    answered: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients by feature for one model; ``provenance`` is their origin.

    ``known_words`` are the words of the questions that the model was trained with; empty if they
    are not known. ``trusted`` are the outcomes of checks, such as "location supported", that were
    right so often that they decide the verdict whatever the confidence.
    """

    model: str
    intercept: float
    weights: Mapping[str, float]
    provenance: Mapping[str, Any]
    thresholds: Thresholds = Thresholds()
    known_words: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()

    def confidence(self, features: Mapping[str, float]) -> float:
        """Return the probability (0 to 1) that an answer with these features is right."""
        score = self.intercept + sum(
            weight * features.get(name, 0.0) for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))


def load_calibration(model: str, folder: Path | None = None) -> Calibration | None:
    """Return the coefficients for the model, None if it has no calibration.

    Those of the user's ``folder`` come first. Raises ValueError for a broken file.
    """
    own = [] if folder is None or not folder.is_dir() else sorted(folder.glob("*.json"))
    for path in own:
        found = parse_calibration(path.read_text(encoding="utf-8"))
        if found.model == model:
            return found
    return _load_included(model)


@cache
def _load_included(model: str) -> Calibration | None:
    for each in (files("sightline.tools.answers") / FOLDER).iterdir():
        if each.name.endswith(".json"):
            found = parse_calibration(each.read_text(encoding="utf-8"))
            if found.model == model:
                return found
    return None


def parse_calibration(text: str) -> Calibration:
    """Return the calibration of a JSON file. Raises ValueError for a broken one."""
    try:
        data = json.loads(text)
        return Calibration(
            data["model"],
            data["intercept"],
            data["weights"],
            data["provenance"],
            Thresholds(**data.get("thresholds", {})),
            frozenset(data.get("known_words", ())),
            frozenset(data.get("trusted", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"The calibration has no valid {error}.") from error


def settle(
    claims: Sequence[VerifiedClaim], features: Sequence[Features], calibration: Calibration
) -> list[VerifiedClaim]:
    """Return the claims without the verdicts that nothing bears out.

    ``features`` are those of each claim alone. A verdict is borne out by its probability, or by a
    trusted outcome of a check. A claim without citations stays contradicted.
    """
    settled = []
    for each, own in zip(claims, features, strict=True):
        chance = calibration.confidence(own)
        is_weak = (
            each.verdict == "supported"
            and chance < calibration.thresholds.supported
            and not has_outcome(own, calibration.trusted, "supported")
        ) or (
            each.verdict == "contradicted"
            and bool(each.claim.citations)
            and chance > calibration.thresholds.contradicted
            and not has_outcome(own, calibration.trusted, "contradicted")
        )
        settled.append(replace(each, verdict="unchecked") if is_weak else each)
    return settled


def outcome_names(outcome: str) -> list[str]:
    """Return the features that say that a check had this outcome."""
    words = [WRITTEN] if outcome == "supported" else []
    return [f"{name} {outcome}" for name in CHECK_NAMES] + words


def has_outcome(features: Mapping[str, float], names: Collection[str], outcome: str) -> bool:
    """Return whether one of the named features says that a check had this outcome."""
    return any(name in names and features.get(name, 0.0) > 0 for name in outcome_names(outcome))


def compute_features(
    draft: Draft,
    reply: Reply,
    claims: Sequence[VerifiedClaim],
    evidence: Sequence[Evidence],
    unknown_words: float = 0.0,
) -> Features:
    """Return the features of an answer or its absence, all of magnitude 1.

    Those of claims are means over the claims. ``unknown_words`` is the share (0 to 1) of the words
    of the question that the model does not know.
    """
    tokens = [max(token.log_probability, _MIN_LOG_PROBABILITY) for token in reply.tokens or ()]
    crops = [each.crop for each in claims if each.crop is not None]
    images = [item for item in evidence if isinstance(item, ImageEvidence)]
    cited = {number for each in claims for number in each.claim.citations}
    return {
        "mean_log_probability": sum(tokens) / len(tokens) if tokens else _DEFAULT_LOG_PROBABILITY,
        "min_log_probability": min(tokens, default=_DEFAULT_LOG_PROBABILITY) / 3,
        "max_entropy": max((_entropy(token) for token in reply.tokens or ()), default=0.0),
        "not_shown": float(not draft.shown),
        "yes_or_no": float(is_yes(draft.answer) or is_no(draft.answer)),
        "number": float(bool(numbers(draft.answer))),
        "place": float(any(each.claim.box is not None for each in claims)),
        WRITTEN: _share(claims, "words_in_evidence", True),
        "backed": _mean([float(each.verdict == "supported") for each in claims]),
        "denied": _mean([float(each.verdict == "contradicted") for each in claims]),
        "doubted": _mean([float(each.doubted) for each in claims]),
        "second_agrees": _mean([float(each.agrees is True) for each in claims]),
        "second_disagrees": _mean([float(each.agrees is False) for each in claims]),
        "crop_rank": _mean([each.rank - 0.5 for each in crops]),
        "crop_gain": 5 * _mean([each.gain for each in crops]),
        "crop_agrees": _mean(
            [
                float(each.agrees is True and each.crop is not None and each.crop.rank == 1)
                for each in claims
            ]
        ),
        "not_understood": _mean([float(each.kind is None) for each in claims]),
        "reads_passage": float(
            any(item.number in cited for item in evidence if not isinstance(item, ImageEvidence))
        ),
        "images": math.log(max(len(images), 1)),
        "retrieval_margin": _margin(images),
        "unknown_words": min(unknown_words, 1.0),
        **{
            f"{name} {outcome}": _mean(
                [
                    float(any((r.check, r.outcome) == (name, outcome) for r in each.results))
                    for each in claims
                ]
            )
            for name in CHECK_NAMES
            for outcome in _OUTCOMES
        },
    }


def _share(claims: Sequence[VerifiedClaim], check: str, supports: bool) -> float:
    """Return the share of the claims for which a check has this result."""
    return _mean(
        [
            float(any((f.check, f.supports) == (check, supports) for f in each.findings))
            for each in claims
        ]
    )


def _entropy(token: Token) -> float:
    """Return the entropy of the alternatives of a token, in nats."""
    shares = [math.exp(min(value, 0.0)) for _, value in token.alternatives]
    return -sum(share * math.log(share) for share in shares if share > 0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _margin(images: Sequence[ImageEvidence]) -> float:
    """Return the relative score lead (0 to 1) of the best hit; 1 for named assets."""
    scores = [item.score for item in images if item.score is not None]
    if len(scores) < 2:
        return 1.0
    return min(max((scores[0] - scores[1]) / scores[0], 0.0), 1.0) if scores[0] > 0 else 0.0
