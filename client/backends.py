"""What a client needs from this installation or from a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from mcp.types import CallToolResult
    from numpy.typing import NDArray

    from sightline.storage.retrieval import (
        ImageHit,
        ImageRequest,
        PassageHit,
        PassageRequest,
        RerankModel,
        SearchResults,
    )
    from sightline.storage.retrieval.hydrate.search_hit import SearchHit
    from sightline.storage.types import Level


class Backend(Protocol):
    """Searches and tools. Its methods run on the event loop that opened it."""

    async def search_images(
        self, request: ImageRequest
    ) -> SearchResults[ImageHit] | SearchResults[SearchHit]: ...

    async def search_passages(
        self, request: PassageRequest
    ) -> SearchResults[PassageHit] | SearchResults[SearchHit]: ...

    async def embed(
        self, texts: Sequence[str], level: Level, collection: str | None
    ) -> NDArray[np.float16]:
        """Return the vectors of texts. Raises ConfigurationError on a server."""
        ...

    async def call_tool(self, tool: str, arguments: dict[str, Any]) -> CallToolResult: ...

    async def load_reranker(self, model: str | None) -> RerankModel:
        """Return the reranker of this name, or the configured one for None.

        Raises ConfigurationError if there is none.
        """
        ...
