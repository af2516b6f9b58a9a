from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from sightline.storage.database import Database
from sightline.storage.errors import ModelOverloadedError
from sightline.storage.retrieval.records import ImageRequest, PassageRequest
from sightline.storage.retrieval.rerank import Exhibit, Reranker
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from tests.support.corpus import Corpus


class ShortestFirst:
    """A judge that prefers short texts, and answers at once."""

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [-len(exhibit.text) for exhibit in exhibits]


class Late:
    """A judge that never answers."""

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        await asyncio.Event().wait()
        return []


class Busy:
    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        raise ModelOverloadedError("its queue is full")


class Forgetful:
    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [1.0]


class Confused:
    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [float("nan"), 1.0, float("nan")]


THREE = [Exhibit("a", "long text"), Exhibit("b", "text"), Exhibit("c", "t")]


async def test_the_judge_decides_among_the_first_and_the_others_follow() -> None:
    places, problem = await Reranker(judge=ShortestFirst(), top=2).order("q", THREE)
    assert (places, problem) == ([1, 0, 2], None)


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        (Late(), "not reranked: the judge took over 0.01 s"),
        (Busy(), "not reranked: its queue is full"),
        (Forgetful(), "not reranked: 1 judgements for 3 results"),
    ],
)
async def test_the_order_stays_when_the_judge_fails(judge: object, problem: str) -> None:
    reranker = Reranker(judge=judge, deadline_seconds=0.01)
    assert await reranker.order("q", THREE) == ([0, 1, 2], problem)


async def test_a_judgement_that_is_no_number_is_the_worst() -> None:
    assert await Reranker(judge=Confused()).order("q", THREE) == ([1, 0, 2], None)


async def test_the_reranker_is_a_postprocessor_of_llamaindex() -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("long text", "t")]
    ordered = await Reranker(judge=ShortestFirst()).apostprocess_nodes(nodes, query_str="q")
    assert [node.node.get_content() for node in ordered] == ["t", "long text"]
    with pytest.raises(NotImplementedError):
        Reranker(judge=ShortestFirst()).postprocess_nodes(nodes, query_str="q")


async def test_searches_are_reranked_and_say_so(corpus: Corpus, database: Database) -> None:
    await corpus.add("long", caption="a red car, a red car in the street")
    await corpus.add("short", caption="red car")
    reranker = Reranker(judge=ShortestFirst())
    images = ImageSearch(database, corpus.encoder, None, signing_key=b"k", reranker=reranker)
    found = await images.search(ImageRequest(query="red car street"))
    assert [hit.asset.source for hit in found.hits] == ["short", "long"]
    assert found.report.reranked
    passages = PassageSearch(database, None, signing_key=b"k", reranker=reranker)
    texts = await passages.search(PassageRequest(query="red car street"))
    assert [hit.passage.source for hit in texts.hits] == ["short", "long"]
    assert texts.report.reranked


async def test_a_late_judge_leaves_the_fused_order_and_is_named(
    corpus: Corpus, database: Database
) -> None:
    await corpus.add("street", caption="a red car in the street")
    await corpus.add("car", caption="red car")
    late = Reranker(judge=Late(), deadline_seconds=0.01)
    passages = PassageSearch(database, None, signing_key=b"k", reranker=late)
    found = await passages.search(PassageRequest(query="red car street"))
    assert found.hits[0].passage.source == "street"
    assert not found.report.reranked
    assert found.report.notes == ("not reranked: the judge took over 0.01 s",)
