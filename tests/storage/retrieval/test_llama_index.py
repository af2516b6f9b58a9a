"""The searches as LlamaIndex retrievers, reranker and metadata filters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from sightline.storage.retrieval import (
    ImageRequest,
    ImageSearch,
    PassageRequest,
    PassageSearch,
    RerankCandidate,
    Selection,
)
from sightline.storage.retrieval.filters.filter_language import Comparison, FilterGroup, parse
from sightline.storage.retrieval.llama_index import (
    ImageRetriever,
    PassageRetriever,
    Reranker,
    from_metadata_filters,
    to_metadata_filters,
)
from tests.support.corpus import Corpus, id_of


@pytest.fixture
async def album(corpus: Corpus) -> Corpus:
    await corpus.add("rose", caption="a rose in the garden", metadata={"price": 1})
    await corpus.add("wall", caption="an old garden wall", metadata={"price": 5})
    return corpus


async def test_an_image_retriever_returns_image_nodes_with_all_fields(
    album: Corpus, images: ImageSearch
) -> None:
    retriever = ImageRetriever(images, ImageRequest(limit=1))
    (node,) = await retriever.aretrieve("rose")
    assert isinstance(node.node, ImageNode)
    assert node.node.node_id == id_of("rose")
    assert node.node.get_content() == "a rose in the garden"
    metadata = node.node.metadata
    assert metadata["asset"]["source"] == "rose"
    assert metadata["passage"]["text"] == "a rose in the garden"
    assert metadata["retrievers"]["lexical"]["rank"] == 1
    assert json.dumps(metadata)
    assert retriever.results is not None
    assert node.score == retriever.results.hits[0].score


async def test_a_passage_retriever_returns_text_nodes(
    album: Corpus, passages: PassageSearch
) -> None:
    retriever = PassageRetriever(passages, PassageRequest(query="", limit=1))
    (node,) = await retriever.aretrieve("wall")
    assert type(node.node) is TextNode
    assert node.node.get_content() == "an old garden wall"
    assert node.node.metadata["asset"]["id"] == id_of("wall")


async def test_search_returns_the_same_result_as_the_search_itself(
    album: Corpus, images: ImageSearch
) -> None:
    request = ImageRequest(query="garden", principal="alice")
    expected = await images.search(request)
    assert (await ImageRetriever(images, request).search()).hits == expected.hits


async def test_llama_index_instrumentation_sees_each_search(
    album: Corpus, images: ImageSearch
) -> None:
    class Recorder(BaseEventHandler):  # type: ignore[misc]
        seen: ClassVar[list[Any]] = []

        def handle(self, event: Any, **_: Any) -> None:
            self.seen.append(event)

    recorder, dispatcher = Recorder(), get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        await ImageRetriever(images, ImageRequest(query="rose", limit=1)).search()
    finally:
        dispatcher.event_handlers.remove(recorder)
    (end,) = [event for event in recorder.seen if isinstance(event, RetrievalEndEvent)]
    assert [node.node.node_id for node in end.nodes] == [id_of("rose")]


async def test_a_query_engine_answers_from_the_retrieved_passages(
    album: Corpus, passages: PassageSearch
) -> None:
    engine = RetrieverQueryEngine.from_args(PassageRetriever(passages), llm=MockLLM())
    response = await engine.aquery("rose")
    assert isinstance(response, Response)
    assert response.source_nodes[0].node.get_content() == "a rose in the garden"


async def test_metadata_filters_restrict_the_request_further(
    album: Corpus, images: ImageSearch
) -> None:
    cheap = MetadataFilters(
        filters=[MetadataFilter(key="price", value=3, operator=FilterOperator.LT)]
    )
    nodes = await ImageRetriever(images, filters=cheap).aretrieve("garden")
    assert [node.node.node_id for node in nodes] == [id_of("rose")]
    old = ImageRequest(selection=Selection(filters={"caption": {"contains": "old"}}))
    assert await ImageRetriever(images, old, filters=cheap).aretrieve("garden") == []


def flattened(group: Comparison | FilterGroup | None) -> object:
    """Return the filter tree without groups of one part, which mean the same."""
    if not isinstance(group, FilterGroup):
        return group
    parts = [flattened(part) for part in group.parts]
    return parts[0] if len(parts) == 1 and group.combine != "not" else (group.combine, parts)


@pytest.mark.parametrize(
    "filters",
    [
        {"price": 1},
        {"organic": True},
        {"price": ["a", "b"]},
        {"price": {"gte": 1, "lte": 5}},
        {"tags": {"is_empty": False}},
        {"tags": {"is_empty": True}},
        {"origin": None},
        {"or": [{"price": 1}, {"not": {"tags": {"contains": "x"}}}]},
        {"time_of_day": {"between": ["22:00", "06:00"]}},
    ],
)
def test_filters_survive_the_conversion_to_llama_index_and_back(filters: dict[str, Any]) -> None:
    converted = to_metadata_filters(filters)
    back = from_metadata_filters(converted)
    assert flattened(parse(back)) == flattened(parse(filters))


def test_filter_conditions_are_converted() -> None:
    is_empty = MetadataFilter(key="a", value=None, operator=FilterOperator.IS_EMPTY)
    equal = MetadataFilter(key="b", value=1)
    negated = MetadataFilters(filters=[is_empty, equal], condition=FilterCondition.NOT)
    either = MetadataFilters(filters=[negated, equal], condition=FilterCondition.OR)
    assert from_metadata_filters(either) == {
        "or": [
            {"not": {"and": [{"a": {"is_empty": True}}, {"b": {"eq": 1}}]}},
            {"b": {"eq": 1}},
        ]
    }
    assert from_metadata_filters(None) is None
    assert to_metadata_filters({}) is None


class ShortestFirst:
    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return [-len(candidate.text) for candidate in candidates]


async def test_the_reranker_reorders_nodes() -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("long text", "t")]
    ordered = await Reranker(ShortestFirst()).apostprocess_nodes(nodes, query_str="q")
    assert [node.node.get_content() for node in ordered] == ["t", "long text"]
    one = await Reranker(ShortestFirst(), max_candidates=1).apostprocess_nodes(nodes, query_str="q")
    assert [node.node.get_content() for node in one] == ["long text", "t"]


async def test_sync_retrieval_works_in_another_thread_and_fails_on_the_event_loop(
    album: Corpus, images: ImageSearch
) -> None:
    retriever = ImageRetriever(images, ImageRequest(limit=1))
    (node,) = await asyncio.to_thread(retriever.retrieve, "rose")
    assert node.node.node_id == id_of("rose")
    with pytest.raises(RuntimeError, match="Call aretrieve instead"):
        retriever.retrieve("rose")
    nodes = [NodeWithScore(node=TextNode(text="text"), score=1.0)]
    with pytest.raises(RuntimeError, match="Call aretrieve instead"):
        Reranker(ShortestFirst()).postprocess_nodes(nodes, query_str="q")


def test_sync_retrieval_without_an_event_loop_raises_a_clear_error() -> None:
    nodes = [NodeWithScore(node=TextNode(text="text"), score=1.0)]
    with pytest.raises(RuntimeError, match="needs the event loop of the database"):
        Reranker(ShortestFirst()).postprocess_nodes(nodes, query_str="q")
