"""Several branches, one order: our own fusion, for LlamaIndex's rewrites scores and drops weights.

Reciprocal ranks by default: a hit gets ``evidence / (10 + rank)`` of each branch that found it.
Evidence, 0 to 1, is measured in the very search: a vector that is no more alike to the query than
chance, or words that match "the" alone, say little, and only break ties. Ranks alone would give
the noise of a weak branch as much say as the exact match of a strong one. With a
``visual_weight`` scores are mixed instead, each branch's brought to 0 (unrelated) to 1 (its
best), and evidence plays no part: the caller has decided.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llama_index.core.schema import NodeWithScore, QueryBundle

from sightline.storage.retrieval.stage_runner import together
from sightline.storage.retrieval.retrievers.base_retriever import (
    Branch,
    Candidate,
    Found,
    Key,
    Side,
    node,
)
from sightline.storage.retrieval.search_types import BranchReport, BranchScore

RANK_CONSTANT = 10
"""60 is usual where ranks are all that is known. Evidence falls with rank too, so they count less
for how far down a list is trusted, and more for who comes first."""
LEAST_EVIDENCE = 0.02
PARTS_OF_WORDS = 0.5
"""What words find in parts of pictures, beside what they find in whole ones: the same question, and
parts answer it less well. A piece of a picture finds both alike. Chosen on one drawn album and
confirmed on another, see docs/retrieval.md."""


class Fused(NamedTuple):
    """A key with its fused score, and how each branch that found it did.

    ``region_id`` and ``passage_id`` are from the branch that ranked it best and has one.
    """

    key: Key
    score: float
    branches: Mapping[str, BranchScore]
    region_id: int | None = None
    passage_id: int | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """The fused order, and what the branches brought to it."""

    hits: tuple[Fused, ...]
    reports: Mapping[str, BranchReport]
    timings_ms: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """A branch with the query in the form that it takes."""

    branch: Branch
    query: QueryBundle


@dataclass(slots=True)
class _Tally:
    """What is known of a key so far; ``region`` and ``passage`` are each a rank and an id."""

    rank: int
    score: float = 0.0
    branches: dict[str, BranchScore] = field(default_factory=dict)
    region: tuple[int, int] | None = None
    passage: tuple[int, int] | None = None


class FusionRetriever(Branch):
    """Asks all branches at once and fuses what they find, keyed as they are."""

    def __init__(self, asks: Sequence[Ask], *, visual_weight: float | None = None) -> None:
        """``visual_weight`` 0 to 1, or None for reciprocal ranks."""
        super().__init__("fusion", "visual")
        self._asks = tuple(asks)
        self._visual_weight = visual_weight

    async def find(self, query: QueryBundle) -> Found:
        """The fused order as one branch; each ask has its query, so ``query`` is not used."""
        del query
        fused = await self.fuse()
        return Found(
            tuple(
                Candidate(hit.key, hit.score, region_id=hit.region_id, passage_id=hit.passage_id)
                for hit in fused.hits
            ),
            notes=fused.notes,
        )

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = await self.find(query_bundle)
        return [node(candidate, self.name) for candidate in found.candidates]

    async def fuse(self) -> Fusion:
        """Ask and fuse. The first branch that fails fails the search, and the others stop."""
        answers = await together([_timed(ask) for ask in self._asks])
        results = {ask.branch.name: answer for ask, answer in zip(self._asks, answers, strict=True)}
        found = {name: result[0] for name, result in results.items()}
        sides = {ask.branch.name: ask.branch.side for ask in self._asks}
        hits, weights = (
            by_ranks(found)
            if self._visual_weight is None
            else by_scores(found, sides, self._visual_weight)
        )
        return Fusion(
            hits=tuple(hits),
            reports={
                name: BranchReport(
                    hits=len(each.candidates),
                    weight=round(weights[name], 4),
                    evidence=round(each.evidence, 4),
                    threshold=each.threshold,
                    keys=tuple(candidate.key for candidate in each.candidates),
                )
                for name, each in found.items()
            },
            timings_ms={name: milliseconds for name, (_, milliseconds) in results.items()},
            notes=tuple(dict.fromkeys(note for each in found.values() for note in each.notes)),
        )


def by_ranks(found: Mapping[str, Found]) -> tuple[list[Fused], dict[str, float]]:
    """Reciprocal ranks by evidence, scaled so that first and certain in all branches is 1."""
    says = {name: PARTS_OF_WORDS if name == "text_to_region" else 1.0 for name in found}
    weights = {name: says[name] * each.evidence for name, each in found.items()}
    whole = sum(says.values()) / (RANK_CONSTANT + 1)
    tallies: dict[Key, _Tally] = {}
    for name, each in found.items():
        for rank, candidate in enumerate(each.candidates, start=1):
            share = max(candidate.evidence, LEAST_EVIDENCE) / (RANK_CONSTANT + rank)
            _count(tallies, name, rank, candidate, says[name] * share / whole)
    return _ordered(tallies), weights


def by_scores(
    found: Mapping[str, Found], sides: Mapping[str, Side], visual_weight: float
) -> tuple[list[Fused], dict[str, float]]:
    """Scores, a branch's from 0 at its floor to 1 at its best; of each side the better question.

    Branches that ask the same of whole pictures and of their parts count half each: measured on
    drawn scenes, the better of the two alone ranked worse than whole pictures did without parts.
    """
    side_weight: dict[Side, float] = {"visual": visual_weight, "words": 1 - visual_weight}
    weights = {name: side_weight[sides[name]] for name in found}
    asking = Counter((sides[name], _asked(name)) for name in found)
    tallies: dict[Key, _Tally] = {}
    answers: dict[Key, dict[tuple[Side, str], float]] = {}
    for name, each in found.items():
        question = (sides[name], _asked(name))
        reach = (each.candidates[0].score if each.candidates else 0.0) - each.floor
        for rank, candidate in enumerate(each.candidates, start=1):
            value = max(candidate.score - each.floor, 0.0) / reach if reach > 0 else 0.0
            of_key = answers.setdefault(candidate.key, {})
            of_key[question] = of_key.get(question, 0.0) + value / asking[question]
            _count(tallies, name, rank, candidate, 0.0)
    for key, of_key in answers.items():
        for side, weight in side_weight.items():
            best = max(
                (value for (asked, _), value in of_key.items() if asked == side), default=0.0
            )
            tallies[key].score += weight * best
    return [hit for hit in _ordered(tallies) if hit.score > 0], weights


def _asked(branch: str) -> str:
    """What a branch was asked, by its name: ``text`` of ``text_to_region``."""
    return branch.partition("_to_")[0]


def _count(
    tallies: dict[Key, _Tally], name: str, rank: int, candidate: Candidate, share: float
) -> None:
    if (tally := tallies.get(candidate.key)) is None:
        tally = tallies[candidate.key] = _Tally(rank)
    tally.rank = min(tally.rank, rank)
    tally.score += share
    tally.branches[name] = BranchScore(rank, candidate.score, candidate.distance)
    tally.region = _better(tally.region, rank, candidate.region_id)
    tally.passage = _better(tally.passage, rank, candidate.passage_id)


def _better(known: tuple[int, int] | None, rank: int, part: int | None) -> tuple[int, int] | None:
    """Of two branches' parts that of the better rank; the first where they are alike."""
    if part is None or (known is not None and known[0] <= rank):
        return known
    return rank, part


def _ordered(tallies: Mapping[Key, _Tally]) -> list[Fused]:
    """Best first; ties by the best rank in any branch, then by key, so that pages do not shift."""
    in_order = sorted(
        tallies.items(), key=lambda each: (-each[1].score, each[1].rank, str(each[0]))
    )
    return [
        Fused(
            key=key,
            score=tally.score,
            branches=tally.branches,
            region_id=tally.region and tally.region[1],
            passage_id=tally.passage and tally.passage[1],
        )
        for key, tally in in_order
    ]


async def _timed(ask: Ask) -> tuple[Found, float]:
    started = time.perf_counter()
    found = await ask.branch.find(ask.query)
    return found, (time.perf_counter() - started) * 1000
