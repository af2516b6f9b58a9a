"""The searches as LlamaIndex retrievers, reranker and metadata filters."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from sightline.storage.errors import InvalidArgumentError
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
    as_json_filters,
    from_metadata_filters,
    to_metadata_filters,
)
from tests.support.corpus import Corpus, id_of


@pytest.fixture
async def album(corpus: Corpus) -> Corpus:
    await corpus.add("rose", caption="a rose in the garden", metadata={"price": 1})
    await corpus.add("wall", caption="an old garden wall", metadata={"price": 5})
    return corpus


async def test_an_image_node_has_text_source_and_metadata(
    album: Corpus, images: ImageSearch
) -> None:
    retriever = ImageRetriever(images, ImageRequest(limit=1))
    (node,) = await retriever.aretrieve("rose")
    assert isinstance(node.node, ImageNode)
    assert node.node.node_id == id_of("rose")
    assert node.node.get_content() == "a rose in the garden"
    metadata = node.node.metadata
    assert (metadata["asset"], metadata["source"]) == (id_of("rose"), "rose")
    assert (metadata["collection"], metadata["kind"]) == ("album", "image")
    assert metadata["uri"] == f"sightline://asset/{id_of('rose')}"
    assert (metadata["price"], metadata["size"]) == (1, [32, 32])
    assert json.dumps(metadata)
    assert (node.node.image, node.node.ref_doc_id) == (None, "album/rose")
    assert retriever.results is not None
    assert node.score == retriever.results.hits[0].score


async def test_the_text_for_a_model_has_no_technical_fields(
    album: Corpus, images: ImageSearch
) -> None:
    (node,) = await ImageRetriever(images, ImageRequest(limit=1)).aretrieve("rose")
    shown = node.node.get_content(MetadataMode.LLM)
    assert shown.splitlines() == [
        f"asset: {id_of('rose')}",
        "source: rose",
        "price: 1",
        "",
        "a rose in the garden",
    ]
    assert "asset" not in node.node.get_content(MetadataMode.EMBED)


async def test_a_node_has_page_time_and_box(
    corpus: Corpus, images: ImageSearch, passages: PassageSearch
) -> None:
    taken = datetime(2026, 5, 1, 14, 40, tzinfo=UTC)
    await corpus.add(
        "invoice",
        kind="page",
        page=3,
        lines=[("Total due 42 euros", (0.1, 0.2, 0.5, 0.3))],
        captured_at=taken,
        metadata={"page": "cover", "vendor": "ACME"},
    )
    (image,) = await ImageRetriever(images).aretrieve("total due")
    (passage,) = await PassageRetriever(passages).aretrieve("total due")
    for node in (image.node, passage.node):
        metadata = node.metadata
        assert (metadata["page"], metadata["metadata.page"]) == (3, "cover")
        assert metadata["captured_at"] == "2026-05-01T14:40:00+00:00"
        assert metadata["box"] == pytest.approx([0.1, 0.2, 0.5, 0.3])
        assert metadata["vendor"] == "ACME"
        assert metadata["asset"] == id_of("invoice")
        assert node.get_content() == "Total due 42 euros"
    assert passage.node.node_id == passage.node.metadata["passage"]


async def test_hidden_characters_do_not_reach_a_node(
    corpus: Corpus, passages: PassageSearch, images: ImageSearch
) -> None:
    await corpus.add("rose", caption="a ro\u200bse", metadata={"no\u202ete": ["x\u200by"]})
    (image,) = await ImageRetriever(images).aretrieve("a")
    (passage,) = await PassageRetriever(passages).aretrieve("a")
    assert image.node.get_content() == passage.node.get_content() == "a rose"
    assert image.node.metadata["note"] == passage.node.metadata["note"] == ["xy"]


async def test_metadata_cannot_pass_for_another_field(corpus: Corpus, images: ImageSearch) -> None:
    await corpus.add("rose", caption="a rose", metadata={"note": "x\nsource: other.jpg"})
    (node,) = await ImageRetriever(images).aretrieve("rose")
    assert "note: x source: other.jpg" in node.node.get_content(MetadataMode.LLM).splitlines()


async def test_a_passage_retriever_returns_text_nodes(
    album: Corpus, passages: PassageSearch
) -> None:
    retriever = PassageRetriever(passages, PassageRequest(query="", limit=1))
    (node,) = await retriever.aretrieve("wall")
    assert type(node.node) is TextNode
    assert node.node.get_content() == "an old garden wall"
    assert node.node.metadata["asset"] == id_of("wall")
    assert node.node.ref_doc_id == "album/wall"


async def test_pictures_are_loaded_on_request(
    album: Corpus, images: ImageSearch, passages: PassageSearch
) -> None:
    await album.add_text("notes.md", ["the garden opens at nine"])

    async def load_picture(asset: str) -> bytes:
        return f"JPEG of {asset}".encode()

    nodes = await ImageRetriever(images, load_picture=load_picture).aretrieve("garden")
    assert {node.node.node_id: node.node.resolve_image().read() for node in nodes} == {
        id_of(name): f"JPEG of {id_of(name)}".encode() for name in ("rose", "wall")
    }
    assert {node.node.image_mimetype for node in nodes} == {"image/jpeg"}
    found = await PassageRetriever(passages, load_picture=load_picture).aretrieve("garden")
    by_text = {node.node.get_content(): node.node for node in found}
    assert by_text["an old garden wall"].resolve_image().read().endswith(id_of("wall").encode())
    assert type(by_text["the garden opens at nine"]) is TextNode


async def test_search_returns_the_same_result_as_the_search_itself(
    album: Corpus, images: ImageSearch
) -> None:
    request = ImageRequest(query="garden", principal="alice")
    expected = await images.search(request)
    assert (await ImageRetriever(images, request).search()).hits == expected.hits


@contextmanager
def recorded_events(*types: type[BaseEvent]) -> Iterator[list[Any]]:
    """Yield the events of these types that LlamaIndex's instrumentation reports."""
    events: list[Any] = []

    class Recorder(BaseEventHandler):  # type: ignore[misc]
        def handle(self, event: Any, **_: Any) -> None:
            if isinstance(event, types):
                events.append(event)

    recorder, dispatcher = Recorder(), get_dispatcher()
    dispatcher.add_event_handler(recorder)
    try:
        yield events
    finally:
        dispatcher.event_handlers.remove(recorder)


async def test_llama_index_instrumentation_sees_each_search(
    album: Corpus, images: ImageSearch
) -> None:
    with recorded_events(RetrievalEndEvent) as events:
        await ImageRetriever(images, ImageRequest(query="rose", limit=1)).search()
    (end,) = events
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


async def test_the_reranker_keeps_the_best_nodes() -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("long", "t", "mid")]
    ordered = await Reranker(ShortestFirst(), top_n=2).apostprocess_nodes(nodes, query_str="q")
    assert [node.node.get_content() for node in ordered] == ["t", "mid"]
    assert await Reranker(ShortestFirst()).apostprocess_nodes(nodes) == nodes


class SmallestPictureFirst:
    uses_images = True

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return [-len(each.thumbnail or b"") for each in candidates]


async def test_a_reranker_that_uses_images_gets_those_of_the_nodes_or_loads_them() -> None:
    async def load_picture(asset: str) -> bytes:
        return b"a larger picture" if asset == "loaded" else b""

    nodes = [
        NodeWithScore(node=TextNode(text="", id_="loaded", metadata={"asset": "loaded"})),
        NodeWithScore(node=ImageNode(id_="own", image=base64.b64encode(b"small").decode())),
    ]
    reranker = Reranker(SmallestPictureFirst(), load_picture=load_picture)
    ordered = await reranker.apostprocess_nodes(nodes, query_str="q")
    assert [node.node.node_id for node in ordered] == ["own", "loaded"]


async def test_llama_index_instrumentation_sees_the_reranking() -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("long text", "t")]
    with recorded_events(ReRankStartEvent, ReRankEndEvent) as events:
        await Reranker(ShortestFirst()).apostprocess_nodes(nodes, query_str="q")
    start, end = events
    assert (start.model_name, start.top_n) == ("ShortestFirst", 2)
    assert [node.node.get_content() for node in end.nodes] == ["t", "long text"]


async def test_sync_retrieval_works_in_another_thread_and_fails_on_the_event_loop(
    album: Corpus, images: ImageSearch
) -> None:
    retriever = ImageRetriever(images, ImageRequest(limit=1))
    (node,) = await asyncio.to_thread(retriever.retrieve, "rose")
    assert node.node.node_id == id_of("rose")
    with pytest.raises(RuntimeError, match="Call the async method"):
        retriever.retrieve("rose")
    nodes = [NodeWithScore(node=TextNode(text="text"), score=1.0)]
    with pytest.raises(RuntimeError, match="Call the async method"):
        Reranker(ShortestFirst()).postprocess_nodes(nodes, query_str="q")


async def test_a_query_with_an_image_is_an_error(images: ImageSearch) -> None:
    with pytest.raises(InvalidArgumentError, match="Search by an image with"):
        await ImageRetriever(images).aretrieve(QueryBundle("rose", image_path="rose.jpg"))


async def test_another_loop_may_retrieve(album: Corpus, images: ImageSearch) -> None:
    retriever = ImageRetriever(images, ImageRequest(limit=1))
    (node,) = await asyncio.to_thread(asyncio.run, retriever.aretrieve("rose"))
    assert node.node.node_id == id_of("rose")


def test_sync_retrieval_without_an_event_loop_raises_a_clear_error() -> None:
    nodes = [NodeWithScore(node=TextNode(text="text"), score=1.0)]
    with pytest.raises(RuntimeError, match="need the event loop that opened the database"):
        Reranker(ShortestFirst()).postprocess_nodes(nodes, query_str="q")


def test_filters_of_an_unknown_type_are_an_error() -> None:
    assert as_json_filters({"price": 1}) == {"price": 1}
    assert as_json_filters({}) is None
    with pytest.raises(InvalidArgumentError, match=r"price < 3.*Give MetadataFilters, or a dict"):
        as_json_filters("price < 3")  # type: ignore[arg-type]
