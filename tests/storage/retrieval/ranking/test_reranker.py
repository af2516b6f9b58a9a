"""The rerank stage reorders the first hits, within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.errors import ModelOverloadedError
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.support.corpus import Corpus


class ShortestFirst:
    """Prefers short texts."""

    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return [-len(candidate.text) for candidate in candidates]


class Late:
    """Never answers."""

    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        await asyncio.Event().wait()
        return []


class Busy:
    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        raise ModelOverloadedError("its queue is full")


class TooFewScores:
    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return [1.0]


class NotANumber:
    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        return [float("nan"), 1.0, float("nan")]


class ScoresSome:
    """Prefers short texts and gives no score to "text" and to empty texts."""

    uses_images = False

    async def score(
        self, query: str, candidates: Sequence[RerankCandidate]
    ) -> Sequence[float | None]:
        return [None if each.text in ("text", "") else -len(each.text) for each in candidates]


class UsesImages:
    """Records the candidates."""

    uses_images = True

    def __init__(self) -> None:
        self.candidates: list[RerankCandidate] = []

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        self.candidates += candidates
        return [0.0] * len(candidates)


THREE = [RerankCandidate("a", "long text"), RerankCandidate("b", "text"), RerankCandidate("c", "t")]


async def test_the_model_orders_the_first_candidates_and_the_others_follow() -> None:
    order, problem = await RerankStage(model=ShortestFirst(), max_candidates=2).order("q", THREE)
    assert (order, problem) == ([1, 0, 2], None)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (Late(), "Not reranked: the model took longer than 0.01 s."),
        (Busy(), "Not reranked: its queue is full"),
        (TooFewScores(), "Not reranked: 1 scores for 3 results."),
    ],
)
async def test_the_order_stays_when_the_model_fails(model: object, problem: str) -> None:
    reranker = RerankStage(model=model, timeout_seconds=0.01)
    assert await reranker.order("q", THREE) == ([0, 1, 2], problem)


async def test_a_score_that_is_not_a_number_ranks_last() -> None:
    assert await RerankStage(model=NotANumber()).order("q", THREE) == ([1, 0, 2], None)


async def test_a_candidate_without_a_score_keeps_its_position() -> None:
    assert await RerankStage(model=ScoresSome()).order("q", THREE) == ([2, 1, 0], None)
    nothing = [RerankCandidate("a", ""), RerankCandidate("b", "")]
    order, problem = await RerankStage(model=ScoresSome()).order("q", nothing)
    assert order == [0, 1]
    assert problem == "Not reranked: no result has content that the model can score."


async def test_both_searches_are_reranked_and_report_it(corpus: Corpus, database: Database) -> None:
    await corpus.add("long", caption="a red car, a red car in the street")
    await corpus.add("short", caption="red car")
    reranker = RerankStage(model=ShortestFirst())
    images = ImageSearch(database, corpus.encoder, None, signing_key=b"k", reranker=reranker)
    results = await images.search(ImageRequest(query="a red car"))
    assert [hit.asset.source for hit in results.hits] == ["short", "long"]
    assert results.report.reranked
    passages = PassageSearch(database, None, signing_key=b"k", reranker=reranker)
    texts = await passages.search(PassageRequest(query="a red car"))
    assert [hit.passage.source for hit in texts.hits] == ["short", "long"]
    assert texts.report.reranked


async def test_a_timeout_keeps_the_fused_order_and_adds_a_note(
    corpus: Corpus, database: Database
) -> None:
    await corpus.add("street", caption="a red car in the street")
    await corpus.add("car", caption="red car")
    late = RerankStage(model=Late(), timeout_seconds=0.01)
    passages = PassageSearch(database, None, signing_key=b"k", reranker=late)
    results = await passages.search(PassageRequest(query="red car street"))
    assert results.hits[0].passage.source == "street"
    assert not results.report.reranked
    assert results.report.notes == ("Not reranked: the model took longer than 0.01 s.",)


async def test_a_candidate_has_the_thumbnail_the_caption_and_the_matched_text(
    corpus: Corpus, database: Database
) -> None:
    id_ = await corpus.add("bus", caption="a red bus", lines=[("ROMEO", (0.1, 0.1, 0.4, 0.2))])
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO thumbnail (asset_id, jpeg, width, height) VALUES (%s, %s, 8, 8)",
            [id_, b"a small JPEG"],
        )
    model = UsesImages()
    images = ImageSearch(
        database, corpus.encoder, None, signing_key=b"k", reranker=RerankStage(model=model)
    )
    await images.search(ImageRequest(query='"romeo"'))
    (candidates,) = model.candidates
    assert candidates.key == id_
    assert candidates.text == "a red bus\nROMEO"
    assert candidates.thumbnail == b"a small JPEG"


async def test_no_connection_is_held_while_the_model_runs(
    corpus: Corpus, database_dsn: str
) -> None:
    await corpus.add("bus", caption="a red bus")
    database = await Database.open(database_dsn, max_connections=1)

    class UsesConnection(UsesImages):
        async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
            async with asyncio.timeout(20), database.connection() as connection:
                await connection.execute("SELECT 1")
            return await super().score(query, candidates)

    model = UsesConnection()
    reranker = RerankStage(model=model, timeout_seconds=30)
    passages = PassageSearch(database, None, signing_key=b"k", reranker=reranker)
    try:
        results = await passages.search(PassageRequest(query="red bus"))
    finally:
        await database.close()
    assert model.candidates
    assert results.report.reranked
