"""Types that all retrievers share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from sightline.storage.retrieval.request_validation import MAX_RESULTS

Key = str | int
"""An asset id or a passage id."""

Modality = Literal["visual", "text"]
ResultLevel = Literal["asset", "passage"]
"""What the keys of a result identify."""


class Hit(NamedTuple):
    """One result of one retriever; a higher score is better.

    ``confidence`` 0 to 1 states how far the hit stands out from chance: for vectors, compared with
    the null distribution; for words, by the rarity of the matched terms.
    """

    key: Key
    score: float
    distance: float | None = None
    confidence: float = 1.0
    region_id: int | None = None
    passage_id: int | None = None


@dataclass(frozen=True, slots=True)
class RetrieverResult:
    """Hits of a retriever, best first, one for each key.

    ``floor`` is the score of an unrelated item; ``threshold`` the score from which a hit stands
    out.
    """

    hits: tuple[Hit, ...]
    floor: float = 0.0
    threshold: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """Return the highest confidence of the hits, or 0 without hits."""
        return max((hit.confidence for hit in self.hits), default=0.0)


class Retriever(Protocol):
    """A retriever call: one kind of search with its query and scope."""

    @property
    def name(self) -> str:
        """Name in results, such as ``text_to_image``."""

    @property
    def modality(self) -> Modality:
        """The side that ``visual_weight`` weighs."""

    async def retrieve(self) -> RetrieverResult:
        """Run the search."""


def best_per_key(hits: Iterable[Hit]) -> tuple[Hit, ...]:
    """Return the best `MAX_RESULTS` hits, one for each key; ties are ordered by key."""
    best: dict[Key, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit.score, str(hit.key))):
        best.setdefault(hit.key, hit)
    return tuple(best.values())[:MAX_RESULTS]
