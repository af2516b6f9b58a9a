from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sightline.server.evaluation import evaluators, run_file
from sightline.server.evaluation.eval_queries import EvalQuery, Grades, RunQuery, load_qrels
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

VALID = {"query": "a cat", "relevant": ["cat.jpg"]}


def parsed(values: Mapping[str, Any]) -> EvalQuery:
    return run_file.RunFileLine(Path("run.jsonl"), 7, values).parse(EvalQuery)


def test_a_plain_string_with_the_form_of_an_id_is_an_id() -> None:
    query = parsed({"query": "x", "relevant": ["0123456789ab", "cat.jpg"]})
    assert [each.asset for each in query.relevant] == ["0123456789ab", None]
    assert query.relevant[1].source == "cat.jpg"
    text = parsed({"query": "x", "search": "text", "relevant": ["p12", {"source": "a.pdf"}]})
    assert text.relevant[0].passage == "p12"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"relevant": ["a.jpg"]}, "nothing to search for: give query, image or both"),
        ({"query": "x"}, "relevant is .*: Field required"),
        ({**VALID, "relevant": []}, r"relevant is \[\]: .*at least 1"),
        ({**VALID, "relevant": [{"source": "a", "grade": -1}]}, r"relevant.0.grade is -1"),
        ({**VALID, "relevant": [{"source": "a", "grade": 0}]}, "no grade above 0"),
        ({**VALID, "relevant": [{"grade": 2}]}, "give exactly one of asset, passage and source"),
        ({**VALID, "relevant": [{"asset": "0" * 12, "page": 2}]}, "narrow a source"),
        ({**VALID, "relevant": [{"asset": "cat"}]}, "relevant.0.asset is 'cat'"),
        ({**VALID, "relevant": ["p12"]}, 'give "search": "text"'),
        ({**VALID, "search": "text", "relevant": ["0" * 12]}, "this is a text search"),
        ({**VALID, "search": "text", "image": "a.png"}, "a text search takes a query and no image"),
        ({**VALID, "langauge": "en"}, "langauge is 'en': Extra inputs"),
        ({**VALID, "search": "sounds"}, "search is 'sounds': .*'images' or 'text'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_names_the_line_and_the_wrong_value(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"(?s)run.jsonl, line 7: .*{message}"):
        parsed(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no lines"),
        (b"\n\n", "has no lines"),
        (b'{"a": 1}\n{"a"\n', "line 2: '{\"a\"' is not JSON"),
        (b"[1]", r"line 1: \[1\] is not a JSON object"),
        (b"[" * 100_000, "line 1: .* is not JSON"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_an_invalid_run_file_is_rejected(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(text)
    with pytest.raises(InvalidArgumentError, match=message):
        run_file.load_run_file(path)
    with pytest.raises(InvalidArgumentError, match="No such file"):
        run_file.load_run_file(tmp_path / "none.jsonl")


def test_lines_are_grouped_by_their_evaluator() -> None:
    line = run_file.RunFileLine(Path("run.jsonl"), 1, VALID)
    assert evaluators.group_by_field([line]) == {"relevant": [line]}
    with pytest.raises(
        InvalidArgumentError, match=r"line 2: the fields are \['query'\]; a line needs"
    ):
        evaluators.group_by_field(
            [line, run_file.RunFileLine(Path("run.jsonl"), 2, {"query": "x"})]
        )


async def judged(database: Database, values: Mapping[str, Any], where: str | None) -> Grades:
    line = run_file.RunFileLine(Path("run.jsonl"), 3, values)
    async with database.connection() as connection:
        query = RunQuery("q", line, line.parse(EvalQuery))
        return (await load_qrels(connection, [query], where))["q"]


@pytest.fixture
async def corpus(database: Database) -> Corpus:
    corpus = Corpus(database, ColorHistogramEncoder())
    await corpus.add("a/cat.jpg", lines=[("Price $12", (0.1, 0.1, 0.2, 0.2))])
    await corpus.add("b/cat.jpg")
    await corpus.add("dog.jpg", collection="others")
    return corpus


async def test_sources_resolve_to_asset_ids_with_grades(corpus: Corpus) -> None:
    values = {"query": "x", "relevant": [{"source": "a/cat.jpg", "grade": 2}, id_of("b/cat.jpg")]}
    found = await judged(corpus.database, values, "album")
    assert found == {id_of("a/cat.jpg"): 2, id_of("b/cat.jpg"): 1}


async def test_a_passage_resolves_by_its_file_and_words(corpus: Corpus) -> None:
    values = {"query": "x", "search": "text"}
    wanted = {"source": "cat.jpg", "kind": "ocr", "text": "PRICE  ＄12"}
    found = await judged(corpus.database, {**values, "relevant": [wanted]}, "album")
    (key,) = found
    assert key.isdecimal()
    missing = {**wanted, "text": "total"}
    found = await judged(corpus.database, {**values, "relevant": [missing]}, "album")
    assert list(found) == ["missing:a/cat.jpg"]


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ("bird.jpg", "'bird.jpg' is the source of no image in the collection 'album'"),
        ("dog.jpg", "'dog.jpg' is the source of no image"),
        ("cat.jpg", "matches 2 sources: 'a/cat.jpg', 'b/cat.jpg'; give a longer"),
        ("at.jpg", "is the source of no image"),
        ("0" * 12, "no asset '000000000000' in the collection 'album'"),
        (id_of("dog.jpg"), "no asset .* in the collection 'album'"),
        ({"source": "a/cat.jpg", "page": 3}, "'a/cat.jpg' has no page 3"),
    ],
    ids=str,
)
async def test_an_unknown_result_is_named_with_its_line(
    corpus: Corpus, relevant: object, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"line 3: relevant: .*{message}"):
        await judged(corpus.database, {"query": "x", "relevant": [relevant]}, "album")


def test_a_run_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(VALID).encode() + b"\r\n")
    assert run_file.load_run_file(path)[0].values == VALID
