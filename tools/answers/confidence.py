"""The confidence of an answer: a calibrated probability that it is right.

Logistic regression over features of the finished answer (Platt, 1999, with several features). The
coefficients are JSON files, fitted by ``benchmarks.answers`` on the validation split of the
synthetic world. They are valid only for the model that they name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from sightline.tools.answers.answer_context import Evidence, ImageEvidence
from sightline.tools.answers.answer_parser import Draft
from sightline.tools.answers.claim_verification import VerifiedClaim
from sightline.tools.answers.text_matching import is_no, is_yes, numbers
from sightline.tools.vlm.vision_language_model import Reply

FOLDER: Final = "calibrations"
#: Used if the server returns no log-probabilities.
_DEFAULT_LOG_PROBABILITY: Final = -0.5
_MIN_LOG_PROBABILITY: Final = -10.0

Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients by feature for one model; ``provenance`` is their origin."""

    model: str
    intercept: float
    weights: Mapping[str, float]
    provenance: Mapping[str, Any]

    def confidence(self, features: Mapping[str, float]) -> float:
        """Return the probability (0 to 1) that an answer with these features is right."""
        score = self.intercept + sum(
            weight * features[name] for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))


@cache
def load_calibration(model: str) -> Calibration | None:
    """Return the coefficients for the model, None if it has no calibration."""
    for each in (files(__package__) / FOLDER).iterdir():
        if each.name.endswith(".json"):
            data = json.loads(each.read_text(encoding="utf-8"))
            if data["model"] == model:
                return Calibration(model, data["intercept"], data["weights"], data["provenance"])
    return None


def compute_features(
    draft: Draft, reply: Reply, claims: Sequence[VerifiedClaim], evidence: Sequence[Evidence]
) -> Features:
    """Return the features of an answer or its absence, all of magnitude 1."""
    tokens = [max(token.log_probability, _MIN_LOG_PROBABILITY) for token in reply.tokens or ()]
    crops = [each.crop for each in claims if each.crop is not None]
    images = [item for item in evidence if isinstance(item, ImageEvidence)]
    cited = {number for each in claims for number in each.claim.citations}
    return {
        "mean_log_probability": sum(tokens) / len(tokens) if tokens else _DEFAULT_LOG_PROBABILITY,
        "min_log_probability": min(tokens, default=_DEFAULT_LOG_PROBABILITY) / 3,
        "not_shown": float(not draft.shown),
        "yes_or_no": float(is_yes(draft.answer) or is_no(draft.answer)),
        "number": float(bool(numbers(draft.answer))),
        "place": float(any(each.claim.box is not None for each in claims)),
        "supported": _mean([float(each.verdict == "supported") for each in claims]),
        "contradicted": _mean([float(each.verdict == "contradicted") for each in claims]),
        "doubted": _mean([float(each.doubted) for each in claims]),
        "second_check": _mean([float(each.agrees) for each in claims if each.agrees is not None]),
        "crop_rank": _mean([each.rank - 0.5 for each in crops]),
        "crop_gain": 5 * _mean([each.gain for each in crops]),
        "reads_passage": float(
            any(item.number in cited for item in evidence if not isinstance(item, ImageEvidence))
        ),
        "images": math.log(max(len(images), 1)),
        "retrieval_margin": _margin(images),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _margin(images: Sequence[ImageEvidence]) -> float:
    """Return the relative score lead (0 to 1) of the best hit; 1 for named assets."""
    scores = [item.score for item in images if item.score is not None]
    if len(scores) < 2:
        return 1.0
    return min(max((scores[0] - scores[1]) / scores[0], 0.0), 1.0) if scores[0] > 0 else 0.0
