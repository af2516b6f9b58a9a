from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from llama_index.core.schema import NodeWithScore, TextNode

from sightline.storage.db.pool import Database
from sightline.storage.errors import ModelOverloadedError
from sightline.storage.retrieval.ranking.reranker import Exhibit, Reranker
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.support.corpus import Corpus


class ShortestFirst:
    """A judge that prefers short texts, and answers at once."""

    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [-len(exhibit.text) for exhibit in exhibits]


class Late:
    """A judge that never answers."""

    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        await asyncio.Event().wait()
        return []


class Busy:
    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        raise ModelOverloadedError("its queue is full")


class Forgetful:
    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [1.0]


class Confused:
    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        return [float("nan"), 1.0, float("nan")]


class Blind:
    """Prefers what is short, and has nothing to say of "text" and of nothing."""

    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float | None]:
        return [None if each.text in ("text", "") else -len(each.text) for each in exhibits]


class Looks:
    """Notes what it is shown."""

    looks = True

    def __init__(self) -> None:
        self.shown: list[Exhibit] = []

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        self.shown += exhibits
        return [0.0] * len(exhibits)


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


async def test_what_cannot_be_judged_keeps_its_place() -> None:
    assert await Reranker(judge=Blind()).order("q", THREE) == ([2, 1, 0], None)
    nothing = [Exhibit("a", ""), Exhibit("b", "")]
    places, problem = await Reranker(judge=Blind()).order("q", nothing)
    assert places == [0, 1]
    assert problem == "not reranked: none of the results has what the judge judges by"


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


async def test_a_judge_sees_the_picture_its_caption_and_what_was_found_on_it(
    corpus: Corpus, database: Database
) -> None:
    id_ = await corpus.add("bus", caption="a red bus", lines=[("ROMEO", (0.1, 0.1, 0.4, 0.2))])
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO thumbnail (asset_id, jpeg, width, height) VALUES (%s, %s, 8, 8)",
            [id_, b"a small JPEG"],
        )
    judge = Looks()
    images = ImageSearch(
        database, corpus.encoder, None, signing_key=b"k", reranker=Reranker(judge=judge)
    )
    await images.search(ImageRequest(query='"romeo"'))
    (shown,) = judge.shown
    assert shown.key == id_
    assert shown.text == "a red bus\nROMEO"
    assert shown.thumbnail == b"a small JPEG"


async def test_no_connection_is_held_while_the_judge_judges(
    corpus: Corpus, database_dsn: str
) -> None:
    await corpus.add("bus", caption="a red bus")
    one = await Database.open(database_dsn, max_connections=1)

    class Asks(Looks):
        async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
            async with asyncio.timeout(20), one.connection() as connection:
                await connection.execute("SELECT 1")
            return await super().judge(query, exhibits)

    judge = Asks()
    reranker = Reranker(judge=judge, deadline_seconds=30)
    passages = PassageSearch(one, None, signing_key=b"k", reranker=reranker)
    try:
        found = await passages.search(PassageRequest(query="red bus"))
    finally:
        await one.close()
    assert judge.shown
    assert found.report.reranked
