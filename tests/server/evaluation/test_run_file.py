from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sightline.server.evaluation import evaluators, run_file
from sightline.server.evaluation.retrieval.eval_queries import Query
from sightline.server.evaluation.retrieval.qrels import Asked, Judged, judge
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColourHistogramEncoder

RIGHT = {"query": "a cat", "relevant": ["cat.jpg"]}


def parsed(values: Mapping[str, Any]) -> Query:
    return run_file.Line(Path("run.jsonl"), 7, values).parse(Query)


def test_a_plain_name_is_an_id_where_it_looks_like_one() -> None:
    query = parsed({"query": "x", "relevant": ["0123456789ab", "cat.jpg"]})
    assert [each.asset for each in query.relevant] == ["0123456789ab", None]
    assert query.relevant[1].source == "cat.jpg"
    text = parsed({"query": "x", "search": "text", "relevant": ["p12", {"source": "a.pdf"}]})
    assert text.relevant[0].passage_id == 12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"relevant": ["a.jpg"]}, "nothing to look for: give query, image or both"),
        ({"query": "x"}, "relevant is .*: Field required"),
        ({**RIGHT, "relevant": []}, r"relevant is \[\]: .*at least 1"),
        ({**RIGHT, "relevant": [{"source": "a", "grade": -1}]}, r"relevant.0.grade is -1"),
        ({**RIGHT, "relevant": [{"source": "a", "grade": 0}]}, "no grade above 0"),
        ({**RIGHT, "relevant": [{"grade": 2}]}, "give one of asset, passage and source"),
        ({**RIGHT, "relevant": [{"asset": "0" * 12, "page": 2}]}, "narrow a source"),
        ({**RIGHT, "relevant": [{"asset": "cat"}]}, "relevant.0.asset is 'cat'"),
        ({**RIGHT, "relevant": ["p12"]}, 'give "search": "text"'),
        ({**RIGHT, "search": "text", "relevant": ["0" * 12]}, "the search is for text"),
        ({**RIGHT, "search": "text", "image": "a.png"}, "takes a query and no image"),
        ({**RIGHT, "langauge": "en"}, "langauge is 'en': Extra inputs"),
        ({**RIGHT, "search": "sounds"}, "search is 'sounds': .*'images' or 'text'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named_with_its_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"(?s)run.jsonl, line 7: .*{message}"):
        parsed(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no line"),
        (b"\n\n", "holds no line"),
        (b'{"a": 1}\n{"a"\n', "line 2: '{\"a\"' is not JSON"),
        (b"[1]", r"line 1: \[1\] is no JSON object"),
        (b"[" * 100_000, "line 1: .* is not JSON"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_run_file_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(text)
    with pytest.raises(InvalidArgumentError, match=message):
        run_file.read(path)
    with pytest.raises(InvalidArgumentError, match="No such file"):
        run_file.read(tmp_path / "none.jsonl")


def test_a_line_says_how_it_is_scored() -> None:
    line = run_file.Line(Path("run.jsonl"), 1, RIGHT)
    assert evaluators.sort([line]) == {"relevant": [line]}
    with pytest.raises(InvalidArgumentError, match=r"line 2: it has \['query'\]; a line takes"):
        evaluators.sort([line, run_file.Line(Path("run.jsonl"), 2, {"query": "x"})])


async def judged(database: Database, values: Mapping[str, Any], where: str | None) -> Judged:
    line = run_file.Line(Path("run.jsonl"), 3, values)
    async with database.connection() as connection:
        (found,) = await judge(connection, [Asked("q", line, line.parse(Query))], where)
    return found


@pytest.fixture
async def corpus(database: Database) -> Corpus:
    corpus = Corpus(database, ColourHistogramEncoder())
    await corpus.add("a/cat.jpg", lines=[("Price $12", (0.1, 0.1, 0.2, 0.2))])
    await corpus.add("b/cat.jpg")
    await corpus.add("dog.jpg", collection="others")
    return corpus


async def test_names_become_ids_with_their_grades(corpus: Corpus) -> None:
    values = {"query": "x", "relevant": [{"source": "a/cat.jpg", "grade": 2}, id_of("b/cat.jpg")]}
    found = await judged(corpus.database, values, "album")
    assert found.grades == {id_of("a/cat.jpg"): 2, id_of("b/cat.jpg"): 1}


async def test_a_passage_is_found_by_its_file_and_its_words(corpus: Corpus) -> None:
    values = {"query": "x", "search": "text"}
    wanted = {"source": "cat.jpg", "kind": "ocr", "text": "PRICE  ＄12"}
    found = await judged(corpus.database, {**values, "relevant": [wanted]}, "album")
    (key,) = found.grades
    assert key.isdecimal()
    unread = {**wanted, "text": "total"}
    found = await judged(corpus.database, {**values, "relevant": [unread]}, "album")
    assert list(found.grades) == ["unread:a/cat.jpg"]


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ("bird.jpg", "'bird.jpg' is the source of no picture in the collection 'album'"),
        ("dog.jpg", "'dog.jpg' is the source of no picture"),
        ("cat.jpg", "could be any of 2 sources, 'a/cat.jpg', 'b/cat.jpg'; give more"),
        ("at.jpg", "is the source of no picture"),
        ("0" * 12, "no asset '000000000000' in the collection 'album'"),
        (id_of("dog.jpg"), "no asset .* in the collection 'album'"),
        ({"source": "a/cat.jpg", "page": 3}, "'a/cat.jpg' has no page 3"),
    ],
    ids=str,
)
async def test_what_is_not_there_is_named_with_its_line(
    corpus: Corpus, relevant: object, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"line 3: relevant: .*{message}"):
        await judged(corpus.database, {"query": "x", "relevant": [relevant]}, "album")


def test_run_files_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(RIGHT).encode() + b"\r\n")
    assert run_file.read(path)[0].values == RIGHT
