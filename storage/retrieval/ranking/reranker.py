"""A second look at the best few by a slower, better model, with a deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import ConfigDict

from sightline.storage.errors import SightlineError
from sightline.storage.retrieval.retrievers.base_retriever import Key


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What is judged: an asset's id or a passage's, and the text that goes with it.

    ``thumbnail`` is the picture as a small JPEG, for judges that look at pictures.
    """

    key: Key
    text: str
    thumbnail: bytes | None = None


@runtime_checkable  # pydantic asks, for a field of the reranker
class Judge(Protocol):
    """Says how well things answer a query: a cross-encoder, or a VLM's yes against its no."""

    @property
    def looks(self) -> bool:
        """Whether it looks at pictures, and is to be given their thumbnails."""
        ...

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float | None]:
        """A score for each exhibit, higher is better, comparable within this call only.

        ``None`` for one that it cannot judge: a picture without words, for a judge of words.
        """
        ...


class Reranker(BaseNodePostprocessor):  # type: ignore[misc]  # LlamaIndex is untyped to us
    """Puts the first ``top`` nodes in a judge's order; the others follow as they were.

    What the judge cannot judge keeps its place, and the others share theirs. When the judge is
    late or fails, the order stays, and `order` says why.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    judge: Judge
    top: int = 20
    deadline_seconds: float = 3.0

    async def order(self, query: str, exhibits: Sequence[Exhibit]) -> tuple[list[int], str | None]:
        """The places of ``exhibits``, best first; a reason when they are left as they were."""
        head = list(exhibits[: self.top])
        unchanged = list(range(len(exhibits)))
        try:
            async with asyncio.timeout(self.deadline_seconds):
                scores = await self.judge.judge(query, head)
        except TimeoutError:
            return unchanged, f"not reranked: the judge took over {self.deadline_seconds:g} s"
        except SightlineError as error:
            return unchanged, f"not reranked: {error}"
        if len(scores) != len(head):
            return unchanged, f"not reranked: {len(scores)} judgements for {len(head)} results"
        judged = [place for place, score in enumerate(scores) if score is not None]
        if not judged:
            return unchanged, "not reranked: none of the results has what the judge judges by"
        best_first = sorted(judged, key=lambda place: -_worth(scores[place]))  # stable: ties stay
        for place, better in zip(judged, best_first, strict=True):
            unchanged[place] = better
        return unchanged, None

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        exhibits = [Exhibit(each.node.node_id, each.node.get_content()) for each in nodes]
        places, _ = await self.order(query_bundle.query_str, exhibits)
        return [nodes[place] for place in places]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        raise NotImplementedError("the reranker works on an event loop: use apostprocess_nodes")


def _worth(score: float | None) -> float:
    """A score that is no number is the worst."""
    return -math.inf if score is None or math.isnan(score) else score
