"""Retrieval metrics: nDCG, recall, MRR, rank-biased overlap, CLIP score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

from sightline.server.evaluation.bootstrap import Estimate, bootstrap_mean
from sightline.storage.interfaces import Vectors
from sightline.storage.records import embedding_spaces
from sightline.storage.retrieval.retrievers.vector_retriever import asset_vectors
from sightline.tools.shared.dependencies import Dependencies

Values = NDArray[np.float64]

METRICS = {"nDCG@10": nDCG @ 10, "R@1": R @ 1, "R@5": R @ 5, "R@10": R @ 10, "MRR": RR}
"""By name in reports. nDCG (Järvelin and Kekäläinen 2002) uses the grades as gains; the others
count grades of 1 and above as relevant. MRR uses the whole ranking."""

MAIN_METRIC = "nDCG@10"

RBO_PERSISTENCE = 0.9
"""Probability that a reader continues to the next rank; the top 10 carry 86% of the weight."""

_CLIP_SCORE_WEIGHT = 2.5
_TEXT_BATCH = 64


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


def rank_biased_overlap(
    one: Sequence[str], other: Sequence[str], persistence: float = RBO_PERSISTENCE
) -> float:
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
    p = persistence
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    overlap, overlap_at_short, total = 0, 0, 0.0
    for depth in range(1, many + 1):
        key = longer[depth - 1]
        overlap += key in seen_short
        seen_long.add(key)
        if depth <= few:
            key = shorter[depth - 1]
            overlap += key in seen_long
            seen_short.add(key)
            overlap_at_short = overlap
        total += overlap / depth * p**depth
        if depth > few:
            total += overlap_at_short * (depth - few) / (few * depth) * p**depth
    rest = (overlap - overlap_at_short) / many + overlap_at_short / few
    return (1 - p) / p * total + rest * p**many


async def clip_scores(
    deps: Dependencies,
    texts: Sequence[str],
    topics: Sequence[str],
    images: Mapping[str, Sequence[str | None]],
) -> dict[str, Estimate]:
    """Return the mean CLIP score of each group of images for the texts.

    The score is 2.5 times the cosine of the text and image vectors, at least 0 (Hessel et al.,
    "CLIPScore", EMNLP 2021). Scores of different encoders are not comparable. ``images`` has one
    asset id per text and group; ``None`` and assets without a vector are left out.
    """
    encoder = await deps.encoder.get()
    database = await deps.database.get()
    parts = [
        await encoder.encode_texts(texts[start : start + _TEXT_BATCH])
        for start in range(0, len(texts), _TEXT_BATCH)
    ]
    text_vectors: Vectors = np.concatenate(parts)
    ids = sorted({id_ for group in images.values() for id_ in group if id_ is not None})
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, encoder.identity, "asset")
        vectors = await asset_vectors(connection, space, ids)
    scores: dict[str, Estimate] = {}
    for name, group in images.items():
        scored = [index for index, id_ in enumerate(group) if id_ in vectors]
        cosines = [float(text_vectors[index] @ vectors[group[index] or ""]) for index in scored]
        values = _CLIP_SCORE_WEIGHT * np.maximum(np.array(cosines, dtype=np.float64), 0)
        scores[name] = bootstrap_mean(values, [topics[index] for index in scored])
    return scores
