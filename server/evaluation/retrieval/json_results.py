"""The outcomes of retrieval as plain JSON: every mean with its interval, and every query."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.retrieval.rank_overlap import rank_biased_overlap
from sightline.server.evaluation.retrieval.retrieval_metrics import MEASURES
from sightline.server.evaluation.retrieval.retrieval_results import Outcome, TaskOutcome

Json = dict[str, Any]


def figures(task: TaskOutcome) -> Json:
    """Everything that a report says of a kind of search, and each query with its scores."""
    return {
        "task": task.task,
        "queries": len(task.outcomes),
        "systems": {
            system: {name: plain(task.mean(system, name)) for name in MEASURES}
            for system in task.systems
        },
        "gains_of_final": {
            name: {each: plain(task.gain(task.final, name, each)) for each in MEASURES}
            for name in task.systems
            if name != task.final
        },
        "by": {
            dimension: {
                group: {
                    system: {name: plain(task.mean(system, name, among)) for name in MEASURES}
                    for system in task.systems
                }
                for group, among in groups.items()
            }
            for dimension, groups in task.dimensions.items()
        },
        "twins": {
            language: {
                system: {name: plain(task.twin_gain(pairs, system, name)) for name in MEASURES}
                for system in task.systems
            }
            for language, pairs in task.twins().items()
        },
        "agreement": {
            f"{one}, {other}": plain(agreement(task, one, other))
            for one, other in combinations(task.branches, 2)
        },
        "clip_score": {name: plain(value) for name, value in task.clip.items()},
        "each": [_query(each) for each in task.outcomes],
    }


def agreement(task: TaskOutcome, one: str, other: str) -> Estimate:
    """How alike two systems rank, by mean rank-biased overlap."""
    return task.over(
        lambda each: rank_biased_overlap(each.ranking.keys(one), each.ranking.keys(other))
    )


def plain(value: Estimate) -> Json | None:
    """An estimate as JSON, rounded; ``None`` for one of nothing."""
    if math.isnan(value.value):
        return None
    return {
        "value": round(value.value, 4),
        "low": round(value.low, 4),
        "high": round(value.high, 4),
        "n": value.n,
    }


def _query(outcome: Outcome) -> Json:
    return {
        "id": outcome.id,
        "milliseconds": round(outcome.ranking.milliseconds, 1),
        "scores": {
            system: {name: round(value, 4) for name, value in scores.items()}
            for system, scores in outcome.scores.items()
        },
        "notes": list(outcome.ranking.notes),
    }
