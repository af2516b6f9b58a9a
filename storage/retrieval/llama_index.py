"""The searches as LlamaIndex retrievers, reranker and metadata filters.

    search = ImageSearch(database, encoder, encoder, signing_key=secrets.token_bytes(32))
    retriever = ImageRetriever(search, ImageRequest(limit=10))
    nodes = await retriever.aretrieve("a white van")

Importing this module imports LlamaIndex, which takes seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import asdict, replace
from typing import Any, Generic, TypeVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from pydantic import ConfigDict, PrivateAttr

from sightline.storage.retrieval import (
    ImageHit,
    ImageRequest,
    PassageHit,
    PassageRequest,
    RerankCandidate,
    RerankModel,
    RerankStage,
    SearchResults,
)
from sightline.storage.retrieval.filters.filter_language import FilterGroup, parse
from sightline.storage.retrieval.hydration import image_text
from sightline.storage.retrieval.search_pipeline import HitT, RequestT, SearchPipeline
from sightline.storage.types import Json

T = TypeVar("T")


class _SearchRetriever(BaseRetriever, Generic[RequestT, HitT]):  # type: ignore[misc]  # untyped
    """A LlamaIndex retriever over a search.

    ``request`` holds all arguments of the search; the query string replaces its ``query``.
    ``filters`` restricts the metadata further. ``results`` is the complete result of the last
    call: use one retriever for each request if you read it. Synchronous `retrieve` works in
    threads without a running event loop; ``loop`` is the loop that opened the database, by default
    the loop that runs when the retriever is created.
    """

    _default_request: RequestT

    def __init__(
        self,
        search: SearchPipeline[RequestT, HitT],
        request: RequestT | None = None,
        *,
        filters: MetadataFilters | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__()
        request = request or self._default_request
        selection, more = request.selection, from_metadata_filters(filters)
        if more and selection.filters:
            more = {"and": [dict(selection.filters), more]}
        selection = replace(selection, filters=more or selection.filters)
        self._request = replace(request, selection=selection)
        self._search = search
        self._loop = loop or _running_loop()
        self.results: SearchResults[HitT] | None = None

    async def search(self) -> SearchResults[HitT]:
        """Retrieve with the request's own query and return the complete result."""
        await self.aretrieve(self._request.query)
        if self.results is None:
            raise RuntimeError("The retriever returned no result.")
        return self.results

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        request = replace(self._request, query=query_bundle.query_str)
        self.results = await self._search.search(request)
        return [_node(hit) for hit in self.results.hits]

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _run(self._loop, self._aretrieve(query_bundle))


class ImageRetriever(_SearchRetriever[ImageRequest, ImageHit]):
    """Retrieves images as `ImageNode`s."""

    _default_request = ImageRequest()


class PassageRetriever(_SearchRetriever[PassageRequest, PassageHit]):
    """Retrieves passages as `TextNode`s."""

    _default_request = PassageRequest(query="")


class Reranker(BaseNodePostprocessor):  # type: ignore[misc]  # LlamaIndex is untyped
    """Reranks nodes with a `RerankModel`, by their text; on failure the order stays."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    max_candidates: int = 20
    timeout_seconds: float = 3.0
    _model: RerankModel = PrivateAttr()
    _loop: asyncio.AbstractEventLoop | None = PrivateAttr()

    def __init__(
        self, model: RerankModel, *, loop: asyncio.AbstractEventLoop | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._model = model
        self._loop = loop or _running_loop()

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        stage = RerankStage(self._model, self.max_candidates, self.timeout_seconds)
        candidates = [RerankCandidate(each.node.node_id, each.node.get_content()) for each in nodes]
        order, _ = await stage.order(query_bundle.query_str, candidates)
        return [nodes[index] for index in order]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _run(self._loop, self._apostprocess_nodes(nodes, query_bundle))


def _node(hit: ImageHit | PassageHit) -> NodeWithScore:
    """Return a node whose metadata has all fields of the hit."""
    if isinstance(hit, PassageHit):
        text = TextNode(id_=f"p{hit.passage.id}", text=hit.passage.text, metadata=_metadata(hit))
        return NodeWithScore(node=text, score=hit.score)
    image = ImageNode(
        id_=hit.asset.id,
        text=image_text(hit.asset, hit.passage),
        image_mimetype=hit.asset.mime_type,
        metadata=_metadata(hit),
    )
    return NodeWithScore(node=image, score=hit.score)


def from_metadata_filters(filters: MetadataFilters | None) -> dict[str, Json] | None:
    """Convert LlamaIndex filters to the JSON filter language."""
    if filters is None or not filters.filters:
        return None
    parts: list[Json] = []
    for part in filters.filters:
        if isinstance(part, MetadataFilters):
            parts.append(from_metadata_filters(part) or {})
        else:
            is_empty = part.operator == FilterOperator.IS_EMPTY
            operand = part.value is not False if is_empty else part.value
            parts.append({part.key: {part.operator.name.lower(): operand}})
    if filters.condition == FilterCondition.NOT:
        return {"not": {"and": parts}}
    return {"or" if filters.condition == FilterCondition.OR else "and": parts}


def to_metadata_filters(filters: Mapping[str, Json] | None) -> MetadataFilters | None:
    """Convert a filter in the JSON language to LlamaIndex filters."""
    group = parse(filters)
    return None if group is None else _to_metadata_filters(group)


def _to_metadata_filters(group: FilterGroup) -> MetadataFilters:
    # Built without validation: LlamaIndex's own does not accept booleans.
    parts = [
        _to_metadata_filters(part)
        if isinstance(part, FilterGroup)
        else MetadataFilter.model_construct(
            key=part.key, operator=FilterOperator[part.operator.upper()], value=part.value
        )
        for part in group.parts
    ]
    return MetadataFilters.model_construct(filters=parts, condition=FilterCondition(group.combine))


def _metadata(hit: ImageHit | PassageHit) -> dict[str, Any]:
    """Return all fields of a hit as JSON-compatible values."""
    values = asdict(hit)
    asset = values.get("asset")
    if asset is not None:
        asset["sha256"] = asset["sha256"].hex()
        for name in ("captured_at", "captured_local"):
            asset[name] = asset[name] and asset[name].isoformat()
    values["retrievers"] = {name: score._asdict() for name, score in hit.retrievers.items()}
    return values


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run(loop: asyncio.AbstractEventLoop | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop from a thread without a running loop."""
    try:
        if loop is None or loop.is_closed():
            raise RuntimeError(
                "Synchronous retrieval needs the event loop of the database. Pass 'loop', or call "
                "aretrieve."
            )
        if _running_loop() is not None:
            raise RuntimeError("An event loop is running in this thread. Call aretrieve instead.")
        if loop.is_running():
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        return loop.run_until_complete(coroutine)
    except RuntimeError:
        coroutine.close()
        raise
