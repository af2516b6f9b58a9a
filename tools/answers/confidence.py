"""One confidence for an answer: the probability that it is right, as measured for its model.

A logistic regression over what the pipeline knows of an answer when it is done (Platt, 1999, with
more than one feature). Coefficients are data, beside this module, fitted on questions of the drawn
world's validation split through the real pipeline; ``sightline.server.evaluation.answers``
makes them. They hold for the model that they were fitted on and for no other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from sightline.tools.answers.answer_context import Evidence, PictureEvidence
from sightline.tools.answers.answer_parser import Draft
from sightline.tools.answers.claim_verification import Checked
from sightline.tools.answers.text_matching import is_no, is_yes, numbers
from sightline.tools.vlm.vision_language_model import Reply

FOLDER: Final = "calibrations"
#: Where a server offers no log-probabilities: neither sure nor unsure.
_UNKNOWN_LOG_PROBABILITY: Final = -0.5
_LEAST_LOG_PROBABILITY: Final = -10.0

Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients for one model. ``weights`` are by feature; ``made`` is how they came about."""

    model: str
    intercept: float
    weights: Mapping[str, float]
    made: Mapping[str, Any]

    def confidence(self, features: Mapping[str, float]) -> float:
        """The probability, 0 to 1, that an answer with these features is right."""
        score = self.intercept + sum(
            weight * features[name] for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-min(max(score, -30.0), 30.0)))


@cache
def calibration(model: str) -> Calibration | None:
    """The coefficients for a model of this name; ``None`` where none have been fitted."""
    for each in (files(__package__) / FOLDER).iterdir():
        if each.name.endswith(".json"):
            data = json.loads(each.read_text(encoding="utf-8"))
            if data["model"] == model:
                return Calibration(model, data["intercept"], data["weights"], data["made"])
    return None


def features(
    draft: Draft, reply: Reply, checked: Sequence[Checked], evidence: Sequence[Evidence]
) -> Features:
    """What is known of an answer that was read, or of its absence. All are of the order of 1."""
    claims = list(checked)
    tokens = [max(token.log_probability, _LEAST_LOG_PROBABILITY) for token in reply.tokens or ()]
    first = draft.answer
    crops = [each.crop for each in claims if each.crop is not None]
    shown = [item for item in evidence if isinstance(item, PictureEvidence)]
    cited = {number for each in claims for number in each.citations}
    return {
        "mean_log_probability": sum(tokens) / len(tokens) if tokens else _UNKNOWN_LOG_PROBABILITY,
        "least_log_probability": min(tokens, default=_UNKNOWN_LOG_PROBABILITY) / 3,
        "not_shown": float(not draft.shown),
        "yes_or_no": float(is_yes(first) or is_no(first)),
        "number": float(bool(numbers(first))),
        "place": float(any(each.claim.box is not None for each in claims)),
        "supported": _share(claims, "supported"),
        "contradicted": _share(claims, "contradicted"),
        "doubted": _mean([float(each.doubted) for each in claims]),
        "second_look": _mean([float(each.agrees) for each in claims if each.agrees is not None]),
        "crop_rank": _mean([each.rank - 0.5 for each in crops]),
        "crop_gain": 5 * _mean([each.gain for each in crops]),
        "reads_passage": float(
            any(item.number in cited for item in evidence if not isinstance(item, PictureEvidence))
        ),
        "pictures": math.log(max(len(shown), 1)),
        "retrieval_margin": _margin(shown),
    }


def _share(claims: Sequence[Checked], verdict: str) -> float:
    return _mean([float(each.verdict == verdict) for each in claims])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _margin(shown: Sequence[PictureEvidence]) -> float:
    """How far the best hit stands above the next, 0 to 1; 1 where the pictures were given."""
    scores = [item.score for item in shown if item.score is not None]
    if not scores:
        return 1.0
    if len(scores) == 1 or scores[0] <= 0:
        return 1.0 if len(scores) == 1 else 0.0
    return min(max((scores[0] - scores[1]) / scores[0], 0.0), 1.0)
