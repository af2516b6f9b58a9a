"""The searches as LlamaIndex retrievers, reranker and metadata filters.

    search = ImageSearch(database, encoder, encoder, signing_key=secrets.token_bytes(32))
    retriever = ImageRetriever(search, ImageRequest(limit=10))
    nodes = await retriever.aretrieve("a white van")

Users of the library get them from `sightline.client.Sightline`. Importing this module imports
LlamaIndex, which takes seconds.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    ImageNode,
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from pydantic import ConfigDict, PrivateAttr

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.loop_runner import LoopRunner, running_loop
from sightline.storage.retrieval import (
    ImageHit,
    ImageRequest,
    PassageHit,
    PassageRequest,
    RerankCandidate,
    RerankModel,
    RerankStage,
    SearchResults,
    gather_or_cancel,
)
from sightline.storage.retrieval.filters.filter_language import FilterGroup, parse
from sightline.storage.retrieval.hydrate.search_hit import (
    SearchHit,
    technical_fields,
    to_search_hit,
)
from sightline.storage.types import Json

T = TypeVar("T")
AnyHitT = TypeVar("AnyHitT", bound=ImageHit | PassageHit | SearchHit)
AnyRequestT = TypeVar("AnyRequestT", ImageRequest, PassageRequest)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
HitT_co = TypeVar("HitT_co", covariant=True)

LoadPicture = Callable[[str], Awaitable[bytes]]
"""Returns the JPEG of an asset."""
_JPEG = "image/jpeg"
_MAX_PARALLEL_PICTURES = 4

dispatcher = get_dispatcher(__name__)


class Search(Protocol[RequestT_contra, HitT_co]):
    """A search of this process or of a server."""

    async def search(self, request: RequestT_contra) -> SearchResults[HitT_co]: ...


class _SearchRetriever(BaseRetriever, Generic[AnyRequestT, AnyHitT]):  # type: ignore[misc]  # untyped
    """A LlamaIndex retriever over a search.

    ``request`` holds all arguments of the search; the query string replaces its ``query``.
    ``filters`` restricts the metadata further. ``results`` is the complete result of the last
    call: use one retriever for each request if you read it. ``runner`` runs the search, by default
    on the loop that runs when the retriever is created. ``load_picture`` puts the picture of each
    hit into its node.
    """

    _default_request: AnyRequestT

    def __init__(
        self,
        search: Search[AnyRequestT, AnyHitT],
        request: AnyRequestT | None = None,
        *,
        filters: MetadataFilters | Mapping[str, Json] | None = None,
        runner: LoopRunner | None = None,
        load_picture: LoadPicture | None = None,
    ) -> None:
        super().__init__()
        request = request or self._default_request
        selection, more = request.selection, as_json_filters(filters)
        if more and selection.filters:
            more = {"and": [dict(selection.filters), more]}
        selection = replace(selection, filters=more or selection.filters)
        self._request: AnyRequestT = replace(request, selection=selection)
        self._search: Search[AnyRequestT, AnyHitT] = search
        self._runner = runner or _runner_of_this_loop()
        self._load_picture = load_picture
        self.results: SearchResults[AnyHitT] | None = None

    async def search(self) -> SearchResults[AnyHitT]:
        """Retrieve with the request's own query and return the complete result."""
        await self.aretrieve(self._request.query)
        if self.results is None:
            raise RuntimeError("The retriever returned no result.")
        return self.results

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._find(query_bundle)
        return await found if self._runner is None else await self._runner.arun(found)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _run(self._runner, self._find(query_bundle))

    async def _find(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if query_bundle.image_path:
            raise InvalidArgumentError(
                "A retriever has no use for the image_path of a query. Search by an image with "
                "Sightline.search_images(image=...)."
            )
        request: AnyRequestT = replace(self._request, query=query_bundle.query_str)
        self.results = results = await self._search.search(request)
        hits = [to_search_hit(hit) for hit in results.hits]
        pictures = await _load_pictures(self._load_picture, [hit.asset for hit in hits])
        return [_node(hit, pictures.get(hit.asset or "")) for hit in hits]


class ImageRetriever(_SearchRetriever[ImageRequest, AnyHitT]):
    """Retrieves images as `ImageNode`s; their text is the caption and what matched."""

    _default_request = ImageRequest()


class PassageRetriever(_SearchRetriever[PassageRequest, AnyHitT]):
    """Retrieves passages as `TextNode`s, with pictures as `ImageNode`s."""

    _default_request = PassageRequest(query="")


class Reranker(BaseNodePostprocessor):  # type: ignore[misc]  # LlamaIndex is untyped
    """Reranks nodes with a `RerankModel`, by text and, if it can, by picture.

    Scores stay; on failure the order stays as well. ``top_n`` nodes remain, None keeps all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    max_candidates: int = 20
    timeout_seconds: float = 3.0
    top_n: int | None = None
    _model: RerankModel = PrivateAttr()
    _runner: LoopRunner | None = PrivateAttr()
    _load_picture: LoadPicture | None = PrivateAttr()

    def __init__(
        self,
        model: RerankModel,
        *,
        runner: LoopRunner | None = None,
        load_picture: LoadPicture | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._model = model
        self._runner = runner or _runner_of_this_loop()
        self._load_picture = load_picture

    @classmethod
    def class_name(cls) -> str:
        return "SightlineReranker"

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        self._report_start(nodes, query_bundle)
        ordered = self._order(nodes, query_bundle.query_str)
        return self._report_end(
            await ordered if self._runner is None else await self._runner.arun(ordered)
        )

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        self._report_start(nodes, query_bundle)
        return self._report_end(_run(self._runner, self._order(nodes, query_bundle.query_str)))

    async def _order(self, nodes: list[NodeWithScore], query: str) -> list[NodeWithScore]:
        head = nodes[: self.max_candidates]
        own = [_picture_of(each) for each in head]
        missing = [
            each.node.metadata.get("asset") if picture is None else None
            for each, picture in zip(head, own, strict=True)
        ]
        load = self._load_picture if self._model.uses_images else None
        loaded = await _load_pictures(load, missing)
        candidates = [
            RerankCandidate(
                each.node.node_id, each.node.get_content(), picture or loaded.get(asset or "")
            )
            for each, picture, asset in zip(head, own, missing, strict=True)
        ]
        stage = RerankStage(self._model, self.max_candidates, self.timeout_seconds)
        order, _ = await stage.order(query, candidates)
        return [*(nodes[index] for index in order), *nodes[len(head) :]][: self.top_n]

    def _report_start(self, nodes: list[NodeWithScore], query: QueryBundle) -> None:
        name = getattr(self._model, "name", type(self._model).__name__)
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))

    def _report_end(self, nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        dispatcher.event(ReRankEndEvent(nodes=nodes))
        return nodes


async def _load_pictures(
    load: LoadPicture | None, assets: Sequence[str | None]
) -> dict[str, bytes]:
    """Return the pictures by asset id; a few load at a time."""
    if load is None:
        return {}
    slots = asyncio.Semaphore(_MAX_PARALLEL_PICTURES)

    async def load_one(asset: str) -> tuple[str, bytes]:
        async with slots:
            return asset, await load(asset)

    unique = dict.fromkeys(asset for asset in assets if asset is not None)
    return dict(await gather_or_cancel([load_one(asset) for asset in unique]))


def _node(hit: SearchHit, picture: bytes | None) -> NodeWithScore:
    """Return a node whose metadata has all fields of the hit."""
    metadata = hit.fields()
    technical = technical_fields(metadata)
    source = RelatedNodeInfo(
        node_id=f"{hit.collection}/{hit.source}",
        node_type=ObjectType.DOCUMENT,
        metadata={"source": hit.source, "collection": hit.collection},
    )
    common = {
        "id_": hit.id,
        "text": hit.text,
        "metadata": metadata,
        "excluded_llm_metadata_keys": technical,
        "excluded_embed_metadata_keys": [*technical, "asset", "weak"],
        "relationships": {NodeRelationship.SOURCE: source},
    }
    is_passage = hit.id == hit.passage
    if is_passage and picture is None:
        return NodeWithScore(node=TextNode(**common), score=hit.score)
    if picture is not None:
        common |= {"image": base64.b64encode(picture).decode("ascii"), "image_mimetype": _JPEG}
    return NodeWithScore(node=ImageNode(**common), score=hit.score)


def _picture_of(node: NodeWithScore) -> bytes | None:
    image = getattr(node.node, "image", None)
    return None if image is None else base64.b64decode(image)


def as_json_filters(
    filters: MetadataFilters | Mapping[str, Json] | None,
) -> dict[str, Json] | None:
    """Return filters of either kind in the JSON filter language, None for no filter."""
    if filters is None or isinstance(filters, MetadataFilters):
        return from_metadata_filters(filters)
    if isinstance(filters, Mapping):
        return dict(filters) or None
    raise InvalidArgumentError(
        f"The filters {shown(filters)} are of no known type. Give MetadataFilters, or a dict such "
        'as {"price": {"lte": 5}}.'
    )


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


def _runner_of_this_loop() -> LoopRunner | None:
    loop = running_loop()
    return None if loop is None else LoopRunner(loop)


def _run(runner: LoopRunner | None, coroutine: Coroutine[Any, Any, T]) -> T:
    if runner is None:
        coroutine.close()
        raise RuntimeError(
            "Synchronous calls need the event loop that opened the database. Give its 'runner', or "
            "call the async method."
        )
    return runner.run(coroutine)
