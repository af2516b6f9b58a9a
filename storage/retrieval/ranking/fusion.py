"""Fuse the results of several retrievers into one order.

By default reciprocal rank fusion: a hit gets ``confidence / (RANK_CONSTANT + rank)`` from each
retriever, so that noise does not count as much as an exact match. Hits that contain
most words of the query come before all others. With a ``visual_weight``, scores are mixed instead,
each scaled from 0 (unrelated) to 1 (the retriever's best).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sightline.storage.retrieval.search_types import (
    Hit,
    Key,
    Modality,
    RetrieverResult,
    RetrieverScore,
)

RANK_CONSTANT = 5
"""Smaller than the usual 60: confidence also falls with rank, so top ranks may count more."""
LEADING_COVERAGE = 0.9
"""Share of the query's informative words, weighted by rarity, from which a hit ranks before all
hits with less, whatever the vectors say. With 0.5, a green bus with a caption would rank before a
red bus without one."""
TEXT_TO_REGION_WEIGHT = 0.5
"""``text_to_region`` asks the same question as ``text_to_image`` and answers it less well. Chosen
on one synthetic album and confirmed on another."""


class FusedHit(NamedTuple):
    """A key with its fused score and its score in each retriever.

    A copy of the query's picture has score 1. ``region_id`` and ``passage_id`` come from the
    retriever that ranked the key best. ``weak`` says that it does not stand out from chance.
    ``duplicates`` are the ids of near-duplicates in the selection.
    """

    key: Key
    score: float
    retrievers: Mapping[str, RetrieverScore]
    region_id: int | None = None
    passage_id: int | None = None
    weak: bool = False
    duplicates: tuple[str, ...] = ()


_RankedHits = dict[str, tuple[int, Hit]]
"""Rank and hit of one key, by retriever."""


def fuse_ranks(results: Mapping[str, RetrieverResult]) -> tuple[list[FusedHit], dict[str, float]]:
    """Fuse by reciprocal ranks; return hits and the weight of each retriever.

    The score is 1 for a hit that is first with full confidence in all retrievers.
    """
    factors = {name: TEXT_TO_REGION_WEIGHT if name == "text_to_region" else 1.0 for name in results}
    maximum = sum(factors.values()) / (RANK_CONSTANT + 1)

    def score(ranked: _RankedHits) -> float:
        return sum(
            factors[name] * hit.confidence / (RANK_CONSTANT + rank) / maximum
            for name, (rank, hit) in ranked.items()
        )

    weights = {name: factors[name] * result.confidence for name, result in results.items()}
    # With an example image, the words are only a part of the query.
    words_first = not any(name.startswith("image_") for name in results)
    return _fuse(results, score, words_first=words_first), weights


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
    queries = {name: (modalities[name], name.partition("_to_")[0]) for name in results}
    sharing = Counter(queries.values())
    spans = {
        name: max((hit.score for hit in result.hits), default=0.0) - result.floor
        for name, result in results.items()
    }

    def score(ranked: _RankedHits) -> float:
        values: dict[tuple[Modality, str], float] = defaultdict(float)
        for name, (_, hit) in ranked.items():
            query, above_floor = queries[name], max(hit.score - results[name].floor, 0.0)
            if spans[name] > 0:
                values[query] += above_floor / spans[name] / sharing[query]
        return sum(
            weight * max((v for query, v in values.items() if query[0] == modality), default=0)
            for modality, weight in modality_weight.items()
        )

    weights = {name: modality_weight[modalities[name]] for name in results}
    return [hit for hit in _fuse(results, score) if hit.score > 0], weights


def _fuse(
    results: Mapping[str, RetrieverResult],
    score: Callable[[_RankedHits], float],
    *,
    words_first: bool = False,
) -> list[FusedHit]:
    """Sort by score, best rank and key; copies first, hits with most words may lead.

    Copies are those of the query's picture. The key keeps pages stable.
    """
    by_key: dict[Key, _RankedHits] = {}
    is_any_significant = False
    for name, result in results.items():
        rank, previous = 0, None
        for place, hit in enumerate(result.hits, start=1):
            rank = rank if hit.score == previous else place  # equal scores share a rank
            previous = hit.score
            by_key.setdefault(hit.key, {})[name] = (rank, hit)
            is_any_significant = is_any_significant or hit.is_significant is True
    ordered: list[tuple[tuple[object, ...], FusedHit]] = []
    for key, ranked in by_key.items():
        best_first = sorted(ranked.values(), key=_rank)
        hits = [hit for _, hit in best_first]
        copy = max(hit.copy for hit in hits)
        fused = FusedHit(
            key,
            1.0 if copy else score(ranked),
            {name: RetrieverScore(rank, h.score, h.distance) for name, (rank, h) in ranked.items()},
            next((hit.region_id for hit in hits if hit.region_id is not None), None),
            next((hit.passage_id for hit in hits if hit.passage_id is not None), None),
            _is_weak(hits, is_any_significant),
        )
        leads = words_first and any(map(_has_most_words, hits))
        order = (not leads, -copy, -fused.score, best_first[0][0], str(key))
        ordered.append((order, fused))
    return [fused for _, fused in sorted(ordered, key=lambda each: each[0])]


def _rank(ranked: tuple[int, Hit]) -> int:
    return ranked[0]


def _has_most_words(hit: Hit) -> bool:
    return bool(hit.is_significant) and (hit.coverage or 0.0) >= LEADING_COVERAGE


def _is_weak(hits: Sequence[Hit], is_any_significant: bool) -> bool:
    """Return whether no retriever says that its hit stands out.

    If no retriever can tell, an item is weak only beside one that does stand out.
    """
    found = [hit.is_significant for hit in hits]
    return True not in found and (is_any_significant or None not in found)
