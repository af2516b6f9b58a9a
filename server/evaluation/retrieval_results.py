"""Results of a retrieval run: rankings, metrics, means and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean
from sightline.server.evaluation.eval_queries import Grades, RunQuery, SearchTask
from sightline.server.evaluation.retrieval_metrics import METRICS, Values, rank_biased_overlap

FUSED = "fused"
RERANKED = "reranked"
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class SystemRankings:
    """The keys that each system returned, best first, and the duration of the search."""

    systems: Mapping[str, tuple[str, ...]]
    milliseconds: float
    notes: tuple[str, ...]

    def keys(self, system: str) -> tuple[str, ...]:
        """Return the ranking of a system; empty if the system did not run."""
        if system == RERANKED and system not in self.systems:
            return self.systems[FUSED]
        return self.systems.get(system, ())


@dataclass(frozen=True, slots=True)
class EvalQueryResult(RunQuery):
    """One query with its grades, rankings, and metrics by system and metric name."""

    grades: Grades
    rankings: SystemRankings
    metrics: Mapping[str, Mapping[str, float]]

    def first_relevant_rank(self, system: str) -> int | None:
        """Return the rank, from 1, of the first relevant key, or ``None``."""
        keys = enumerate(self.rankings.keys(system), 1)
        return next((rank for rank, key in keys if self.grades.get(key, 0) > 0), None)


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
        rankings = [each.rankings for each in self.queries]
        overlaps = [rank_biased_overlap(each.keys(one), each.keys(other)) for each in rankings]
        return bootstrap_mean(overlaps, [each.topic for each in self.queries])

    @property
    def groupings(self) -> dict[str, dict[str, list[EvalQueryResult]]]:
        """Queries by grouping and group, for groupings with at least 2 groups."""
        groupings: dict[str, dict[str, list[EvalQueryResult]]] = {}
        for each in self.queries:
            language = {"language": each.query.language} if each.query.language else {}
            for name, group in (each.query.groups | language).items():
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
        english, other = (
            self.values(system, metric, [pair[side] for pair in pairs]) for side in (0, 1)
        )
        return bootstrap_mean(other - english, [pair[0].topic for pair in pairs])

    def to_json(self) -> dict[str, Any]:
        """Return all means with intervals, and the metrics of each query."""

        def by_system(
            estimate: Callable[[str, str], Estimate], systems: Iterable[str] = self.systems
        ) -> dict[str, Any]:
            return {
                system: {name: to_json(estimate(system, name)) for name in METRICS}
                for system in systems
            }

        others = [system for system in self.systems if system != self.final_system]
        return {
            "task": self.task,
            "query_count": len(self.queries),
            "systems": by_system(self.mean),
            "final_minus_system": by_system(partial(self.difference, self.final_system), others),
            "groups": {
                grouping: {
                    group: by_system(partial(self.mean, among=among))
                    for group, among in groups.items()
                }
                for grouping, groups in self.groupings.items()
            },
            "translation_minus_english": {
                language: by_system(partial(self.translation_difference, pairs))
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
    return {name: round(value, 4) for name, value in asdict(estimate).items()}


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
