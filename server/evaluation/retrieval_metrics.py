"""Retrieval metrics: nDCG, recall, MRR, rank-biased overlap, CLIP score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

Values = NDArray[np.float64]

METRICS = {"nDCG@10": nDCG @ 10, "R@1": R @ 1, "R@5": R @ 5, "R@10": R @ 10, "MRR": RR}
"""By name in reports. nDCG (Järvelin and Kekäläinen 2002) uses the grades as gains; the others
count grades of 1 and above as relevant. MRR uses the whole ranking."""

MAIN_METRIC = "nDCG@10"

RBO_PERSISTENCE = 0.9
"""Probability that a reader continues to the next rank; the top 10 carry 86% of the weight."""


def compute_metrics(
    rankings: Mapping[str, Sequence[str]], grades: Mapping[str, Mapping[str, int]]
) -> dict[str, Values]:
    """Return each metric per query, shape (len(grades),) in the order of ``grades``.

    Both arguments are by query id; a query without a ranking scores 0. ``grades`` (0 and above)
    are by key.
    """
    index = {id_: position for position, id_ in enumerate(grades)}
    values = {name: np.zeros(len(grades)) for name in METRICS}
    names = {measure: name for name, measure in METRICS.items()}
    run = {
        id_: {key: float(-rank) for rank, key in enumerate(rankings.get(id_, ()))} for id_ in grades
    }
    qrels = {id_: dict(each) for id_, each in grades.items()}
    for metric in ir_measures.iter_calc(list(names), qrels, run):
        values[names[metric.measure]][index[metric.query_id]] = metric.value
    return values


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
