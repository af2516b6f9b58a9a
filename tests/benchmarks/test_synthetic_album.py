"""Queries that are derived from how an album was drawn."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import synthetic_album
from sightline.server.evaluation import run_file
from sightline.server.evaluation.retrieval.eval_queries import Query
from sightline.storage.errors import InvalidArgumentError
from sightline.training.world.export import export

COUNT, SEED = 45, 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    export(folder, split="test", count=COUNT, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def made(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "album"
    synthetic_album.prepare(world, folder)
    return folder


@pytest.fixture(scope="module")
def queries(made: Path) -> list[Query]:
    return [line.parse(Query) for line in run_file.read(made / synthetic_album.QUERIES)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kind(queries: list[Query], name: str) -> list[Query]:
    return [each for each in queries if each.groups["kind"] == name]


def test_the_same_seed_draws_the_same_album(made: Path, tmp_path: Path) -> None:
    synthetic_album.draw(tmp_path / "again", count=COUNT, seed=SEED)
    for path in sorted(made.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(made)).read_bytes() == path.read_bytes()


def test_every_kind_of_query_is_derived_and_asked_in_both_languages(queries: list[Query]) -> None:
    counts = Counter((each.groups["kind"], each.language) for each in queries)
    for name in ("caption", "object", "pair", "written"):
        assert counts[name, "en"] == counts[name, "zh"] > 10, name
    assert counts["crop", ""] > 10
    twins = Counter(each.topic for each in queries if each.topic)
    assert set(twins.values()) == {2}


def test_what_is_right_is_in_the_album(made: Path, queries: list[Query]) -> None:
    for query in queries:
        for right in query.relevant:
            assert (made / synthetic_album.ALBUM / str(right.source)).is_file()
        if query.image is not None:
            assert (made / query.image).is_file()


def test_the_server_is_not_told_what_it_will_be_asked(made: Path, queries: list[Query]) -> None:
    told = rows(made / synthetic_album.ALBUM / "metadata.jsonl")
    assert {frozenset(row) for row in told} == {frozenset({"file_name", "caption"})}
    captions = " ".join(row["caption"] for row in told)
    families = {query.groups["family"] for query in queries}
    names = {path.name for path in (made / synthetic_album.ALBUM).rglob("*.jpg")}
    assert not [name for name in names if any(family in name for family in families)]
    assert not {query.query for query in kind(queries, "caption")} & {r["caption"] for r in told}
    for query in kind(queries, "written"):
        assert query.query.split()[-1].strip("编号价格零件插座患者招牌步骤的图表") not in captions
    share = len(told) / COUNT
    assert 0.6 < share < 0.75
    assert 0.4 < sum(bool(re.search("[一-龥]", r["caption"])) for r in told) / len(told) < 0.6


def test_an_object_is_right_wherever_it_is_shown_and_nowhere_else(
    world: Path, made: Path, queries: list[Query]
) -> None:
    coco = json.loads((world / "instances.json").read_text(encoding="utf-8"))
    pixels = {
        path.read_bytes(): f"images/{path.name}"
        for path in (made / synthetic_album.ALBUM).rglob("*.jpg")
    }
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    files = {
        each["id"]: pixels[(world / each["file_name"]).read_bytes()] for each in coco["images"]
    }
    for query in kind(queries, "object"):
        if query.language != "en":
            continue
        colour, label = query.query.split(" ", 2)[1:]
        showing = {
            files[each["image_id"]]
            for each in coco["annotations"]
            if labels[each["category_id"]] == label and each["attributes"].get("colour") == colour
        }
        assert {right.source for right in query.relevant} == showing, query.query


def test_a_picture_of_both_is_worth_more_than_of_one(queries: list[Query]) -> None:
    grades = Counter(right.grade for query in kind(queries, "pair") for right in query.relevant)
    assert grades[2] > 0
    assert grades[1] > 0
    assert all(max(r.grade for r in query.relevant) == 2 for query in kind(queries, "pair"))


def test_an_album_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is no album that `sightline world` drew"):
        synthetic_album.prepare(tmp_path, tmp_path / "out")
