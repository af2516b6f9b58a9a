"""Means over many answers, with 95% intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.server.evaluation.answers.answer_metrics import SAME_PLACE, Score
from sightline.server.evaluation.bootstrap import RESAMPLES, Estimate, estimate

_SEED = 20_240_229
Flags = NDArray[np.float64]


def totals(scores: Sequence[Score]) -> Mapping[str, Estimate]:
    """Every figure by its name, in the order of the report."""
    answerable = [each for each in scores if each.question.is_answerable]
    worded = [each for each in answerable if not each.question.place]
    placed = [each for each in answerable if each.question.place]
    boxed = [each for each in answerable if each.question.box is not None]
    claimed = [each for each in scores if not np.isnan(each.citation_recall)]
    given = [each for each in scores if not each.abstained]
    found = {
        "right": _mean(scores, [float(each.right) for each in scores]),
        "answered": _mean(scores, [float(not each.abstained) for each in scores]),
        "ambiguous": _mean(scores, [float(each.status == "ambiguous") for each in scores]),
        "right where answered": _mean(given, [float(each.right) for each in given]),
        "exact match": _mean(worded, [float(each.right) for each in worded]),
        "VQA accuracy": _mean(worded, [each.vqa for each in worded]),
        "places right (IoU 0.5)": _mean(placed, [float(each.right) for each in placed]),
        "box IoU": _mean(boxed, [each.overlap for each in boxed]),
        "box acc@0.5": _mean(boxed, [float(each.overlap >= SAME_PLACE) for each in boxed]),
        "citation precision": _mean(claimed, [each.citation_precision for each in claimed]),
        "citation recall": _mean(claimed, [each.citation_recall for each in claimed]),
        "claim faithfulness": _mean(claimed, [each.faithful for each in claimed]),
    }
    return found | _abstention(scores)


def by_verdict(scores: Sequence[Score]) -> Mapping[str, Estimate]:
    """How many of the claims with each verdict are right."""
    flat = [(verdict, each, float(ok)) for each in scores for verdict, ok in each.verdicts]
    return {
        name: _mean(
            [each for verdict, each, _ in flat if verdict == name],
            [ok for verdict, _, ok in flat if verdict == name],
        )
        for name in sorted({verdict for verdict, _, _ in flat})
    }


def marks(scores: Sequence[Score]) -> Mapping[str, Estimate]:
    """A judge's marks, 1 to 5, of the answers that it marked; empty without any."""
    marked = [(each, each.marks) for each in scores if each.marks is not None]
    names = dict.fromkeys(name for _, given in marked for name in given)
    judged = [each for each, _ in marked]
    return {name: _mean(judged, [float(given[name]) for _, given in marked]) for name in names}


def _abstention(scores: Sequence[Score]) -> dict[str, Estimate]:
    should = np.array([not each.question.is_answerable for each in scores])
    did = np.array([each.abstained for each in scores])
    hits, rash, mute = should & did, should & ~did, ~should & did
    topics = _topics(scores)
    return {
        "abstention precision": ratio(hits, hits | mute, topics),
        "abstention recall": ratio(hits, hits | rash, topics),
        "abstention F1": ratio(2.0 * hits, 2.0 * hits + rash + mute, topics),
    }


def ratio(above: Flags, below: Flags, topics: Sequence[str]) -> Estimate:
    """The sum of one over the sum of the other, and its interval: topics are drawn again."""
    over, under = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    if not under.sum():
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    _, topic = np.unique(np.asarray(topics), return_inverse=True)
    tops, bottoms = np.bincount(topic, weights=over), np.bincount(topic, weights=under)
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(len(tops), np.full(len(tops), 1 / len(tops)), size=RESAMPLES)
    with np.errstate(invalid="ignore"):
        ratios = (drawn @ tops) / (drawn @ bottoms)
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return Estimate(
        float(over.sum() / under.sum()), float(low), float(high), int((under > 0).sum())
    )


def _mean(scores: Sequence[Score], values: Sequence[float]) -> Estimate:
    return estimate(np.array(values, dtype=np.float64), _topics(scores))


def _topics(scores: Sequence[Score]) -> list[str]:
    return [each.question.topic or each.question.id or each.question.question for each in scores]
