"""Rerank the first hits with a slower, more accurate model, within a deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sightline.storage.errors import SightlineError
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.retrieval.search_types import Key


@dataclass(frozen=True, slots=True)
class RerankCandidate:
    """An asset or passage with its text, and a small JPEG for models that use images."""

    key: Key
    text: str
    thumbnail: bytes | None = None


class RerankModel(Protocol):
    """Scores how well candidates answer a query: a cross-encoder or a VLM."""

    @property
    def uses_images(self) -> bool:
        """Whether the model needs the candidates' thumbnails."""

    async def score(
        self, query: str, candidates: Sequence[RerankCandidate]
    ) -> Sequence[float | None]:
        """Return a score for each candidate, comparable within this call only.

        None for a candidate without usable content, such as an image without text.
        """


@dataclass(frozen=True, slots=True)
class RerankStage:
    """Reorders the first ``max_candidates`` hits by the model's scores.

    Candidates without a score keep their position. On timeout or failure the order stays.
    """

    model: RerankModel
    max_candidates: int = 20
    timeout_seconds: float = 3.0

    async def order(
        self, query: str, candidates: Sequence[RerankCandidate]
    ) -> tuple[list[int], str | None]:
        """Return indexes of ``candidates``, best first, and the problem if unchanged."""
        head = list(candidates[: self.max_candidates])
        order = list(range(len(candidates)))
        try:
            async with asyncio.timeout(self.timeout_seconds):
                scores = await self.model.score(query, head)
        except TimeoutError:
            return order, f"Not reranked: the model took longer than {self.timeout_seconds:g} s."
        except SightlineError as error:
            return order, f"Not reranked: {message_for_caller(error)}"
        if len(scores) != len(head):
            return order, f"Not reranked: {len(scores)} scores for {len(head)} results."
        scored = {index: score for index, score in enumerate(scores) if score is not None}
        if not scored:
            return order, "Not reranked: no result has content that the model can score."
        best_first = sorted(
            scored, key=lambda index: math.inf if math.isnan(scored[index]) else -scored[index]
        )
        for index, better in zip(scored, best_first, strict=True):
            order[index] = better
        return order, None
