"""Fuse the results of several retrievers into one order.

By default reciprocal rank fusion, weighted by confidence: a hit gets
``confidence / (RANK_CONSTANT + rank)`` from each retriever. Without the confidence, the noise of a
weak retriever would count as much as the exact match of a strong one. With a ``visual_weight``,
scores are mixed instead, each scaled from 0 (unrelated) to 1 (the retriever's best).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sightline.storage.retrieval.retrievers.base_retriever import (
    Hit,
    Key,
    Modality,
    RetrieverResult,
)
from sightline.storage.retrieval.search_types import RetrieverScore

RANK_CONSTANT = 10
"""Smaller than the usual 60: confidence also falls with rank, so top ranks may count more."""
MIN_CONFIDENCE = 0.02
TEXT_TO_REGION_WEIGHT = 0.5
"""``text_to_region`` asks the same question as ``text_to_image`` and answers it less well. Chosen
on one synthetic album and confirmed on another."""


class FusedHit(NamedTuple):
    """A key with its fused score and its score in each retriever.

    ``region_id`` and ``passage_id`` come from the retriever that ranked the key best.
    """

    key: Key
    score: float
    retrievers: Mapping[str, RetrieverScore]
    region_id: int | None = None
    passage_id: int | None = None


@dataclass(slots=True)
class _Accumulator:
    """Collects the scores of one key; ``region`` and ``passage`` are (rank, id)."""

    rank: int
    score: float = 0.0
    retrievers: dict[str, RetrieverScore] = field(default_factory=dict)
    region: tuple[int, int] | None = None
    passage: tuple[int, int] | None = None


def fuse_ranks(results: Mapping[str, RetrieverResult]) -> tuple[list[FusedHit], dict[str, float]]:
    """Fuse by reciprocal ranks; return hits and the weight of each retriever.

    The score is 1 for a hit that is first with full confidence in all retrievers.
    """
    factors = {name: TEXT_TO_REGION_WEIGHT if name == "text_to_region" else 1.0 for name in results}
    weights = {name: factors[name] * result.confidence for name, result in results.items()}
    maximum = sum(factors.values()) / (RANK_CONSTANT + 1)
    accumulators: dict[Key, _Accumulator] = {}
    for name, result in results.items():
        for rank, hit in enumerate(result.hits, start=1):
            share = max(hit.confidence, MIN_CONFIDENCE) / (RANK_CONSTANT + rank)
            _add(accumulators, name, rank, hit, factors[name] * share / maximum)
    return _sorted_hits(accumulators), weights


def fuse_scores(
    results: Mapping[str, RetrieverResult],
    modalities: Mapping[str, Modality],
    visual_weight: float,
) -> tuple[list[FusedHit], dict[str, float]]:
    """Mix normalized scores by ``visual_weight``; return hits and retriever weights.

    Of each modality the better query (text or image) counts. Retrievers that run the same query on
    whole images and on regions count half each: on synthetic scenes, taking the better of the two
    ranked worse than whole images alone.
    """
    modality_weight: dict[Modality, float] = {"visual": visual_weight, "text": 1 - visual_weight}
    weights = {name: modality_weight[modalities[name]] for name in results}
    queries = {name: (modalities[name], name.partition("_to_")[0]) for name in results}
    sharing = Counter(queries.values())
    accumulators: dict[Key, _Accumulator] = {}
    values: dict[Key, dict[tuple[Modality, str], float]] = {}
    for name, result in results.items():
        query = queries[name]
        span = (result.hits[0].score if result.hits else 0.0) - result.floor
        for rank, hit in enumerate(result.hits, start=1):
            value = max(hit.score - result.floor, 0.0) / span if span > 0 else 0.0
            of_key = values.setdefault(hit.key, {})
            of_key[query] = of_key.get(query, 0.0) + value / sharing[query]
            _add(accumulators, name, rank, hit, 0.0)
    for key, of_key in values.items():
        for modality, weight in modality_weight.items():
            best = max(
                (value for query, value in of_key.items() if query[0] == modality), default=0
            )
            accumulators[key].score += weight * best
    return [hit for hit in _sorted_hits(accumulators) if hit.score > 0], weights


def _add(
    accumulators: dict[Key, _Accumulator], name: str, rank: int, hit: Hit, share: float
) -> None:
    accumulator = accumulators.setdefault(hit.key, _Accumulator(rank))
    accumulator.rank = min(accumulator.rank, rank)
    accumulator.score += share
    accumulator.retrievers[name] = RetrieverScore(rank, hit.score, hit.distance)
    accumulator.region = _better_ranked(accumulator.region, rank, hit.region_id)
    accumulator.passage = _better_ranked(accumulator.passage, rank, hit.passage_id)


def _better_ranked(
    current: tuple[int, int] | None, rank: int, id_: int | None
) -> tuple[int, int] | None:
    if id_ is None or (current is not None and current[0] <= rank):
        return current
    return rank, id_


def _sorted_hits(accumulators: Mapping[Key, _Accumulator]) -> list[FusedHit]:
    """Sort by score, then by best rank and key, so that pages stay stable."""
    ordered = sorted(
        accumulators.items(), key=lambda item: (-item[1].score, item[1].rank, str(item[0]))
    )
    return [
        FusedHit(
            key=key,
            score=accumulator.score,
            retrievers=accumulator.retrievers,
            region_id=accumulator.region and accumulator.region[1],
            passage_id=accumulator.passage and accumulator.passage[1],
        )
        for key, accumulator in ordered
    ]
