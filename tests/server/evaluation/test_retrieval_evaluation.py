"""One search gives the ranking of each system: retrievers, fused, reranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from sightline.server.evaluation import run_file
from sightline.server.evaluation.retrieval_evaluation import run_queries
from sightline.server.evaluation.retrieval_results import TaskResult
from sightline.server.evaluation.retrieval_sections import retrieval_section
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, ModelOverloadedError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.records import embedding_spaces
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.ranking.reranker import RerankCandidate, RerankStage
from sightline.tools.shared.dependencies import Dependencies
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder
from tests.tools.toolbox import ReadyProvider

KEY = b"a key for the tests"


class PrefersRoses:
    """Prefers roses, and fails for queries about the sea."""

    uses_images = False

    async def score(self, query: str, candidates: Sequence[RerankCandidate]) -> Sequence[float]:
        if "sea" in query:
            raise ModelOverloadedError("its queue is full")
        return ["rose" in candidate.text for candidate in candidates]


@pytest.fixture
async def deps(database: Database, tmp_path: Path) -> Dependencies:
    encoder = ColorHistogramEncoder()
    corpus = Corpus(database, encoder)
    for name, colour, caption in (
        ("red.jpg", "#d02020", "a red flower, called rose"),
        ("wall.jpg", "#c03028", "a wall"),
        ("sea.jpg", "#2030d0", "the sea"),
    ):
        await corpus.add(name, picture=Image.new("RGB", (64, 64), colour), caption=caption)
    reranker = RerankStage(model=PrefersRoses())
    images = ImageSearch(database, encoder, encoder, signing_key=KEY, reranker=reranker)
    return Dependencies(
        database=ReadyProvider(database),
        blobs=BlobStore(tmp_path),
        encoder=ReadyProvider(encoder),
        passage_encoder=ReadyProvider(encoder),
        allowed_roots=(),
        image_search=images.search,
        passage_search=PassageSearch(database, encoder, signing_key=KEY).search,
        ingest_options=IngestOptions(workers=1),
        decoder=cast("Any", None),
    )


async def evaluate(deps: Dependencies, folder: Path, **values: object) -> TaskResult:
    line = run_file.RunFileLine(folder / "run.jsonl", 1, values)
    (task,) = await run_queries(deps, [line], "album", lambda *_: None)
    return task


async def test_each_retriever_and_the_final_order_are_ranked(
    deps: Dependencies, tmp_path: Path
) -> None:
    task = await evaluate(deps, tmp_path, query="red wall", relevant=["red.jpg"])
    retrievers = ("text_to_image", "lexical")
    assert set(task.systems) == {*retrievers, "fused", "reranked"}
    assert task.final_system == "reranked"
    (result,) = task.queries
    assert result.first_relevant_rank("lexical") == 2
    assert result.first_relevant_rank("fused") == 2
    assert result.first_relevant_rank("reranked") == 1
    gain = task.difference("reranked", "fused", "MRR")
    assert (gain.value, gain.low, gain.high) == (0.5, 0.5, 0.5)
    section = await retrieval_section(deps, task)
    assert section.headlines[0].label == "nDCG@10, fused and reranked"


async def test_an_evaluation_creates_no_embedding_space(
    deps: Dependencies, database: Database, tmp_path: Path
) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM sightline.collection_embedding_space")
        await embedding_spaces.drop_unused(connection)
    task = await evaluate(deps, tmp_path, query="red wall", relevant=["red.jpg"])
    assert task.queries[0].first_relevant_rank("fused") == 2  # by words
    async with database.connection() as connection:
        assert await embedding_spaces.list_spaces(connection) == []


async def test_a_query_without_reranking_uses_the_fused_ranking_and_is_reported(
    deps: Dependencies, tmp_path: Path
) -> None:
    asked = [
        run_file.RunFileLine(
            tmp_path / "run.jsonl", 1, {"query": "red wall", "relevant": ["red.jpg"]}
        ),
        run_file.RunFileLine(
            tmp_path / "run.jsonl", 2, {"query": "the sea", "relevant": ["sea.jpg"]}
        ),
    ]
    (task,) = await run_queries(deps, asked, "album", lambda *_: None)
    assert [each.first_relevant_rank("reranked") for each in task.queries] == [1, 1]
    section = await retrieval_section(deps, task)
    assert section.text.endswith(" 1 not reranked: the reranker failed or timed out.")


async def test_an_image_beside_the_run_file_is_a_query(deps: Dependencies, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "#2838d8").save(tmp_path / "blue.png")
    task = await evaluate(deps, tmp_path, image="blue.png", relevant=[id_of("sea.jpg")])
    assert task.task == "image to image"
    assert task.queries[0].first_relevant_rank("image_to_image") == 1
    stored = await evaluate(deps, tmp_path, image=id_of("red.jpg"), relevant=["wall.jpg"])
    assert stored.queries[0].first_relevant_rank("fused") == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": "none.png"}, "image 'none.png' is neither a file nor an asset id"),
        ({"image": "run.jsonl"}, "The file"),
        ({"query": "x", "filters": {"price": 3}}, "'price'"),
        ({"query": "x", "captured_after": "tomorrow"}, "'tomorrow'"),
        ({"query": "x", "collection": "nowhere"}, "'nowhere'"),
        ({"image": "0" * 12}, "'000000000000'"),
    ],
    ids=str,
)
async def test_a_query_that_the_search_rejects_is_named_with_its_line(
    deps: Dependencies, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    (tmp_path / "run.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=f"run.jsonl, line 1: .*{message}"):
        await evaluate(deps, tmp_path, **values, relevant=["red.jpg"])


async def test_two_lines_cannot_have_the_same_id(deps: Dependencies, tmp_path: Path) -> None:
    asked = {"id": "q", "query": "x", "relevant": ["red.jpg"]}
    twice = [run_file.RunFileLine(tmp_path / "run.jsonl", n, asked) for n in (1, 2)]
    with pytest.raises(InvalidArgumentError, match="line 2: id 'q' is already used by line 1"):
        await run_queries(deps, twice, "album", lambda *_: None)
