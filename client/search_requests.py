"""Requests of retrievers, built from the arguments of a library user."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sightline.storage.retrieval.search_types import (
    ImageRequest,
    PassageRequest,
    SearchResults,
    Selection,
)

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters

    Filters: TypeAlias = MetadataFilters | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class BackendSearch:
    """A search of a backend, as retrievers use it."""

    run: Callable[[Any], Coroutine[Any, Any, SearchResults[Any]]]

    async def search(self, request: ImageRequest | PassageRequest) -> SearchResults[Any]:
        return await self.run(request)


def image_request(
    *,
    collection: str | None = None,
    filters: Filters = None,
    captured_after: str | None = None,
    captured_before: str | None = None,
    visual_weight: float | None = None,
    diversity: float = 0.0,
    limit: int = 5,
) -> ImageRequest:
    selection = Selection(
        collections=(collection,) if collection else None,
        filters=json_filters(filters),
        captured_after=captured_after,
        captured_before=captured_before,
    )
    return ImageRequest(
        selection=selection, visual_weight=visual_weight, diversity=diversity, limit=limit
    )


def passage_request(
    *,
    collection: str | None = None,
    kinds: Sequence[str] | None = None,
    filters: Filters = None,
    limit: int = 5,
) -> PassageRequest:
    selection = Selection(
        collections=(collection,) if collection else None,
        filters=json_filters(filters),
        kinds=tuple(kinds) if kinds else None,
    )
    return PassageRequest(query="", selection=selection, limit=limit)


def json_filters(filters: Filters) -> Mapping[str, Any] | None:
    """Return filters in the JSON filter language, None for no filter."""
    if filters is None or isinstance(filters, Mapping):
        return filters or None
    from sightline.storage.retrieval.llama_index import as_json_filters

    return as_json_filters(filters)
