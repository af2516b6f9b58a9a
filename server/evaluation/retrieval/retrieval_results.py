"""Results of a retrieval run: rankings, metrics, means and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean
from sightline.server.evaluation.retrieval.eval_queries import EvalQuery, SearchTask
from sightline.server.evaluation.retrieval.qrels import JudgedQuery
from sightline.server.evaluation.retrieval.ranked_systems import FUSED, RERANKED, SystemRankings
from sightline.server.evaluation.retrieval.retrieval_metrics import (
    METRICS,
    Values,
    rank_biased_overlap,
)

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class EvalQueryResult:
    """One query with its rankings and its metrics by system and metric name."""

    judged: JudgedQuery
    rankings: SystemRankings
    metrics: Mapping[str, Mapping[str, float]]

    @property
    def query(self) -> EvalQuery:
        """The query of the run file."""
        return self.judged.run_query.query

    @property
    def id(self) -> str:
        """The id of the query in the report."""
        return self.judged.run_query.id

    @property
    def topic(self) -> str:
        """The topic; translations of one question share it."""
        return self.query.topic or f"query {self.id}"

    def first_relevant_rank(self, system: str) -> int | None:
        """Return the rank, from 1, of the first relevant key, or ``None``."""
        grades = self.judged.grades
        keys = self.rankings.keys(system)
        return next((rank for rank, key in enumerate(keys, 1) if grades.get(key, 0) > 0), None)


QueryPair = tuple[EvalQueryResult, EvalQueryResult]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Results of all queries of one search task; they use the same retrievers.

    ``systems`` are the retrievers, `FUSED`, and `RERANKED` if there is a reranker. ``clip_scores``
    is set for the task "text to image" only.
    """

    task: SearchTask
    systems: tuple[str, ...]
    queries: tuple[EvalQueryResult, ...]
    clip_scores: Mapping[str, Estimate]

    @property
    def retrievers(self) -> tuple[str, ...]:
        """The systems that are single retrievers."""
        return tuple(name for name in self.systems if name not in (FUSED, RERANKED))

    @property
    def final_system(self) -> str:
        """The system whose ranking a caller gets."""
        return RERANKED if RERANKED in self.systems else FUSED

    def values(
        self, system: str, metric: str, among: Sequence[EvalQueryResult] | None = None
    ) -> Values:
        """Return a metric per query (default: all queries), shape (n,)."""
        chosen = self.queries if among is None else among
        return np.array([each.metrics[system][metric] for each in chosen], dtype=np.float64)

    def mean(
        self, system: str, metric: str, among: Sequence[EvalQueryResult] | None = None
    ) -> Estimate:
        """Estimate the mean of a metric."""
        chosen = self.queries if among is None else among
        return bootstrap_mean(self.values(system, metric, chosen), [each.topic for each in chosen])

    def difference(self, better: str, worse: str, metric: str) -> Estimate:
        """Estimate the mean difference of two systems on the same queries."""
        values = self.values(better, metric) - self.values(worse, metric)
        return bootstrap_mean(values, [each.topic for each in self.queries])

    def rank_overlap(self, one: str, other: str) -> Estimate:
        """Estimate the mean rank-biased overlap of two systems."""
        return self._mean_of(
            lambda each: rank_biased_overlap(each.rankings.keys(one), each.rankings.keys(other))
        )

    def _mean_of(self, value: Callable[[EvalQueryResult], float]) -> Estimate:
        topics = [each.topic for each in self.queries]
        return bootstrap_mean([value(each) for each in self.queries], topics)

    def best_retriever(self, metric: str) -> str:
        """Return the retriever with the highest mean; the first one if several are equal."""
        return max(self.retrievers, key=lambda name: float(self.values(name, metric).mean()))

    @property
    def groupings(self) -> dict[str, dict[str, list[EvalQueryResult]]]:
        """Queries by grouping and group, for groupings with at least 2 groups."""
        groupings: dict[str, dict[str, list[EvalQueryResult]]] = {}
        for each in self.queries:
            groups = dict(each.query.groups)
            if each.query.language:
                groups["language"] = each.query.language
            for name, group in groups.items():
                groupings.setdefault(name, {}).setdefault(group, []).append(each)
        return {name: groups for name, groups in groupings.items() if len(groups) > 1}

    def translations(self) -> dict[str, list[QueryPair]]:
        """Return pairs (English query, translation of it) by language of the translation."""
        english = {each.topic: each for each in self.queries if each.query.language == ENGLISH}
        pairs: dict[str, list[QueryPair]] = {}
        for each in self.queries:
            language = each.query.language
            if language not in ("", ENGLISH) and each.topic in english:
                pairs.setdefault(language, []).append((english[each.topic], each))
        return pairs

    def translation_difference(
        self, pairs: Sequence[QueryPair], system: str, metric: str
    ) -> Estimate:
        """Estimate the mean difference: translated query minus English query."""
        english = self.values(system, metric, [pair[0] for pair in pairs])
        other = self.values(system, metric, [pair[1] for pair in pairs])
        return bootstrap_mean(other - english, [pair[0].topic for pair in pairs])

    def to_json(self) -> dict[str, Any]:
        """Return all means with intervals, and the metrics of each query."""
        return {
            "task": self.task,
            "query_count": len(self.queries),
            "systems": {
                system: {name: to_json(self.mean(system, name)) for name in METRICS}
                for system in self.systems
            },
            "final_minus_system": {
                system: {
                    name: to_json(self.difference(self.final_system, system, name))
                    for name in METRICS
                }
                for system in self.systems
                if system != self.final_system
            },
            "groups": {
                grouping: {
                    group: {
                        system: {name: to_json(self.mean(system, name, among)) for name in METRICS}
                        for system in self.systems
                    }
                    for group, among in groups.items()
                }
                for grouping, groups in self.groupings.items()
            },
            "translation_minus_english": {
                language: {
                    system: {
                        name: to_json(self.translation_difference(pairs, system, name))
                        for name in METRICS
                    }
                    for system in self.systems
                }
                for language, pairs in self.translations().items()
            },
            "rank_overlap": {
                f"{one}, {other}": to_json(self.rank_overlap(one, other))
                for one, other in combinations(self.retrievers, 2)
            },
            "clip_score": {name: to_json(value) for name, value in self.clip_scores.items()},
            "queries": [_query_to_json(each) for each in self.queries],
        }


def to_json(estimate: Estimate) -> dict[str, Any] | None:
    """Return a rounded estimate, or ``None`` for NaN."""
    if math.isnan(estimate.value):
        return None
    return {
        "value": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "n": estimate.n,
    }


def _query_to_json(result: EvalQueryResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "milliseconds": round(result.rankings.milliseconds, 1),
        "metrics": {
            system: {name: round(value, 4) for name, value in metrics.items()}
            for system, metrics in result.metrics.items()
        },
        "notes": list(result.rankings.notes),
    }
