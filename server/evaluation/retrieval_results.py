"""Results of a retrieval run: rankings, metrics, means and their JSON form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import util
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean
from sightline.server.evaluation.eval_queries import Grades, RunQuery, SearchTask
from sightline.storage.errors import MissingExtraError

Values = NDArray[np.float64]

METRICS = {"nDCG@10": "nDCG@10", "R@1": "R@1", "R@5": "R@5", "R@10": "R@10", "MRR": "RR"}
"""Measures of ir-measures, by name in reports.

nDCG (Järvelin and Kekäläinen 2002) uses the grades as gains; the others count grades of 1 and above
as relevant. MRR uses the whole ranking.
"""

MAIN_METRIC = "nDCG@10"

RBO_PERSISTENCE = 0.9
"""Probability that a reader continues to the next rank; the top 10 carry 86% of the weight."""

FUSED = "fused"
RERANKED = "reranked"
ENGLISH = "en"


def compute_metrics(
    rankings: Mapping[str, Sequence[str]], grades: Mapping[str, Mapping[str, int]]
) -> dict[str, Values]:
    """Return each metric per query, shape (len(grades),) in the order of ``grades``.

    Both arguments are by query id; a query without a ranking scores 0. ``grades`` (0 and above)
    are by key. Raises MissingExtraError if ir-measures is not installed.
    """
    require_ir_measures()
    import ir_measures

    index = {id_: position for position, id_ in enumerate(grades)}
    values = {name: np.zeros(len(grades)) for name in METRICS}
    names = {ir_measures.parse_measure(text): name for name, text in METRICS.items()}
    run = {
        id_: {key: float(-rank) for rank, key in enumerate(rankings.get(id_, ()))} for id_ in grades
    }
    qrels = {id_: dict(each) for id_, each in grades.items()}
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        values[names[metric.measure]][index[metric.query_id]] = metric.value
    return values


def require_ir_measures() -> None:
    """Raise MissingExtraError if ir-measures is not installed."""
    if util.find_spec("ir_measures") is None:
        raise MissingExtraError("Metrics of retrieval need ir-measures.", "eval")


def rank_biased_overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the similarity of two rankings, 0 (disjoint) to 1 (equal).

    The lists have distinct keys and any length. This is RBO extrapolated to unseen depths: Webber,
    Moffat and Zobel, "A similarity measure for indefinite rankings", ACM TOIS 28(4), 2010,
    equation 32. Two empty lists give 1, an empty and a non-empty list 0.

    >>> round(rank_biased_overlap("abc", "acb"), 3)
    0.955
    """
    shorter, longer = sorted((one, other), key=len)
    few, many = len(shorter), len(longer)
    if not few:
        return float(not many)
    p = RBO_PERSISTENCE
    depths = np.arange(1, many + 1)
    overlaps = np.array([len({*shorter[:n]} & {*longer[:n]}) for n in range(1, many + 1)])
    overlap_at_short = overlaps[few - 1]
    unseen = overlap_at_short * (depths - few).clip(min=0) / few
    total = ((overlaps + unseen) / depths * p**depths).sum()
    rest = (overlaps[-1] - overlap_at_short) / many + overlap_at_short / few
    return float((1 - p) / p * total + rest * p**many)


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
            "queries": [
                {
                    "id": each.id,
                    "milliseconds": round(each.rankings.milliseconds, 1),
                    "metrics": {
                        system: {name: round(value, 4) for name, value in metrics.items()}
                        for system, metrics in each.metrics.items()
                    },
                    "notes": list(each.rankings.notes),
                }
                for each in self.queries
            ],
        }


def to_json(estimate: Estimate) -> dict[str, Any] | None:
    """Return a rounded estimate, or ``None`` for NaN."""
    if math.isnan(estimate.value):
        return None
    return {name: round(value, 4) for name, value in asdict(estimate).items()}
