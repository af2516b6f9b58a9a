"""What every branch of a search is: a LlamaIndex retriever that also says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

Key = str | int
"""An asset's id, or a passage's."""

Side = Literal["visual", "words"]


class Candidate(NamedTuple):
    """One result of one branch. ``score`` is the branch's own, higher is better.

    ``evidence`` 0 to 1 says how far it stands out from chance, by the branch's own measure: how
    far a similarity lies above noise (`background`), how much of a query the words hold
    (`lexical`).
    """

    key: Key
    score: float
    distance: float | None = None
    evidence: float = 1.0
    region_id: int | None = None
    passage_id: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a branch found, best first, one candidate a key.

    ``floor`` is the score of something unrelated, ``threshold`` that above which a hit stands out.
    """

    candidates: tuple[Candidate, ...]
    floor: float = 0.0
    threshold: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def evidence(self) -> float:
        """Of the candidate that stands out most; 0 where there is none."""
        return max((each.evidence for each in self.candidates), default=0.0)


class Branch(BaseRetriever):  # type: ignore[misc]  # LlamaIndex is untyped to us
    """A retriever of one kind of evidence, bound to one scope.

    Subclasses implement `find`; `aretrieve` gives the same as LlamaIndex nodes.
    """

    def __init__(self, name: str, side: Side) -> None:
        """``name`` is what results call it; ``side`` is what `visual_weight` weighs."""
        super().__init__()
        self.name = name
        self.side: Side = side

    async def find(self, query: QueryBundle) -> Found:
        """Search; vector branches take the query from ``query.embedding``."""
        raise NotImplementedError

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = await self.find(query_bundle)
        return [node(candidate, self.name) for candidate in found.candidates]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        raise NotImplementedError(f"{type(self).__name__} works on an event loop: use aretrieve")


def node(candidate: Candidate, branch: str) -> NodeWithScore:
    """A candidate for LlamaIndex. The node's id is the key, so that no two merge in fusion."""
    return NodeWithScore(
        node=TextNode(
            id_=str(candidate.key),
            text="",
            metadata={
                "branch": branch,
                "distance": candidate.distance,
                "region_id": candidate.region_id,
                "passage_id": candidate.passage_id,
            },
        ),
        score=candidate.score,
    )


def best_of_each(candidates: list[Candidate], length: int) -> tuple[Candidate, ...]:
    """The best candidate of each key, in order of score; ties in order of key, so it is stable."""
    ordered = sorted(candidates, key=lambda each: (-each.score, str(each.key)))
    best: dict[Key, Candidate] = {}
    for candidate in ordered:
        best.setdefault(candidate.key, candidate)
    return tuple(best.values())[:length]
