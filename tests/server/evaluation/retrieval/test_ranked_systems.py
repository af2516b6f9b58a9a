"""Each system of a search is ranked by itself: branches, fused, reranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from sightline.server.evaluation import run_file
from sightline.server.evaluation.retrieval import (
    retrieval_evaluation,
    retrieval_sections,
    sample_queries,
)
from sightline.server.evaluation.retrieval.retrieval_results import TaskOutcome
from sightline.storage.blobs import ObjectStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, ModelOverloadedError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.retrieval.ranking.reranker import Exhibit, Reranker
from sightline.storage.retrieval.search import ImageSearch, PassageSearch
from sightline.tools.shared.dependencies import Dependencies
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColourHistogramEncoder
from tests.tools.toolbox import Ready

KEY = b"a key of the tests"


class PrefersRoses:
    """A judge that knows one thing, and fails where it is asked of the sea."""

    looks = False

    async def judge(self, query: str, exhibits: Sequence[Exhibit]) -> Sequence[float]:
        if "sea" in query:
            raise ModelOverloadedError("its queue is full")
        return ["rose" in exhibit.text for exhibit in exhibits]


@pytest.fixture
async def deps(database: Database, tmp_path: Path) -> Dependencies:
    encoder = ColourHistogramEncoder()
    corpus = Corpus(database, encoder)
    for name, colour, caption in (
        ("red.jpg", "#d02020", "a red flower, called rose"),
        ("wall.jpg", "#c03028", "a red wall"),
        ("sea.jpg", "#2030d0", "the sea"),
    ):
        await corpus.add(name, picture=Image.new("RGB", (64, 64), colour), caption=caption)
    reranker = Reranker(judge=PrefersRoses())
    images = ImageSearch(database, encoder, encoder, signing_key=KEY, reranker=reranker)
    return Dependencies(
        database=Ready(database),
        objects=ObjectStore(tmp_path),
        encoder=Ready(encoder),
        passage_encoder=Ready(encoder),
        allowed_roots=(),
        image_search=images.search,
        passage_search=PassageSearch(database, encoder, signing_key=KEY).search,
        ingest_options=IngestOptions(workers=1),
        decoder=cast("Any", None),
    )


async def measured(deps: Dependencies, folder: Path, **values: object) -> TaskOutcome:
    line = run_file.Line(folder / "run.jsonl", 1, values)
    (task,) = await retrieval_evaluation.evaluate(deps, [line], "album", lambda *_: None)
    return task


async def test_each_branch_and_what_became_of_them_is_ranked(
    deps: Dependencies, tmp_path: Path
) -> None:
    task = await measured(deps, tmp_path, query="red wall", relevant=["red.jpg"])
    branches = ("text_to_picture", "words")
    assert set(task.systems) == {*branches, "fused", "reranked"}
    assert task.final == "reranked"
    (outcome,) = task.outcomes
    assert outcome.place("words") == 2
    assert outcome.place("fused") == 2
    assert outcome.place("reranked") == 1
    gain = task.gain("reranked", "fused", "MRR")
    assert (gain.value, gain.low, gain.high) == (0.5, 0.5, 0.5)
    section = retrieval_sections.section(task, await sample_queries.exhibits(deps, task))
    assert section.headlines[0].label == "nDCG@10, fused and reranked"


async def test_a_query_that_was_not_reranked_counts_as_fused_and_is_counted(
    deps: Dependencies, tmp_path: Path
) -> None:
    asked = [
        run_file.Line(tmp_path / "run.jsonl", 1, {"query": "red wall", "relevant": ["red.jpg"]}),
        run_file.Line(tmp_path / "run.jsonl", 2, {"query": "the sea", "relevant": ["sea.jpg"]}),
    ]
    (task,) = await retrieval_evaluation.evaluate(deps, asked, "album", lambda *_: None)
    assert [each.place("reranked") for each in task.outcomes] == [1, 1]
    section = retrieval_sections.section(task, await sample_queries.exhibits(deps, task))
    assert section.text.endswith(" 1 were not reranked: it was late or failed.")


async def test_a_picture_beside_the_run_file_is_searched_by(
    deps: Dependencies, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64), "#2838d8").save(tmp_path / "blue.png")
    task = await measured(deps, tmp_path, image="blue.png", relevant=[id_of("sea.jpg")])
    assert task.task == "picture"
    assert task.outcomes[0].place("picture_to_picture") == 1
    stored = await measured(deps, tmp_path, image=id_of("red.jpg"), relevant=["wall.jpg"])
    assert stored.outcomes[0].place("fused") == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": "none.png"}, "image 'none.png' is no picture beside the run file"),
        ({"image": "run.jsonl"}, "the file"),
        ({"query": "x", "filters": {"price": 3}}, "'price'"),
        ({"query": "x", "captured_after": "tomorrow"}, "'tomorrow'"),
        ({"query": "x", "collection": "nowhere"}, "'nowhere'"),
        ({"image": "0" * 12}, "'000000000000'"),
    ],
    ids=str,
)
async def test_what_a_search_refuses_is_named_with_its_line(
    deps: Dependencies, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    (tmp_path / "run.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=f"run.jsonl, line 1: .*{message}"):
        await measured(deps, tmp_path, **values, relevant=["red.jpg"])


async def test_two_lines_cannot_have_one_id(deps: Dependencies, tmp_path: Path) -> None:
    asked = {"id": "q", "query": "x", "relevant": ["red.jpg"]}
    twice = [run_file.Line(tmp_path / "run.jsonl", n, asked) for n in (1, 2)]
    with pytest.raises(InvalidArgumentError, match="line 2: id is 'q', which line 1 has already"):
        await retrieval_evaluation.evaluate(deps, twice, "album", lambda *_: None)
