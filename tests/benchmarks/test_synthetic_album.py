"""Queries derived from the ground truth of a synthetic album."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import synthetic_album
from sightline.server.evaluation import run_file
from sightline.server.evaluation.eval_queries import EvalQuery
from sightline.storage.errors import InvalidArgumentError
from sightline.training.world.export import export

COUNT, SEED = 45, 3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    export(folder, split="test", count=COUNT, seed=SEED)
    return folder


@pytest.fixture(scope="module")
def album(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album") / "album"
    synthetic_album.prepare(world, folder)
    return folder


@pytest.fixture(scope="module")
def queries(album: Path) -> list[EvalQuery]:
    return [
        line.parse(EvalQuery) for line in run_file.load_run_file(album / synthetic_album.QUERIES)
    ]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def kind(queries: list[EvalQuery], name: str) -> list[EvalQuery]:
    return [each for each in queries if each.groups["kind"] == name]


def test_the_same_seed_gives_the_same_album(album: Path, tmp_path: Path) -> None:
    synthetic_album.render(tmp_path / "again", count=COUNT, seed=SEED)
    for path in sorted(album.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(album)).read_bytes() == path.read_bytes()


def test_every_kind_of_query_exists_in_both_languages(queries: list[EvalQuery]) -> None:
    counts = Counter((each.groups["kind"], each.language) for each in queries)
    for name in ("caption", "object", "pair", "written"):
        assert counts[name, "en"] == counts[name, "zh"] > 10, name
    assert counts["crop", ""] > 10
    topics = Counter(each.topic for each in queries if each.topic)
    assert set(topics.values()) == {2}


def test_relevant_images_are_in_the_album(album: Path, queries: list[EvalQuery]) -> None:
    for query in queries:
        for item in query.relevant:
            assert (album / synthetic_album.ALBUM / str(item.source)).is_file()
        if query.image is not None:
            assert (album / query.image).is_file()


def test_the_album_does_not_contain_the_queries(album: Path, queries: list[EvalQuery]) -> None:
    captioned = rows(album / synthetic_album.ALBUM / "metadata.jsonl")
    assert {frozenset(row) for row in captioned} == {frozenset({"file_name", "caption"})}
    captions = " ".join(row["caption"] for row in captioned)
    families = {query.groups["family"] for query in queries}
    names = {path.name for path in (album / synthetic_album.ALBUM).rglob("*.jpg")}
    assert not [name for name in names if any(family in name for family in families)]
    assert not {query.query for query in kind(queries, "caption")} & {
        r["caption"] for r in captioned
    }
    for query in kind(queries, "written"):
        assert query.query.split()[-1].strip("编号价格零件插座患者招牌步骤的图表") not in captions
    share = len(captioned) / COUNT
    assert 0.6 < share < 0.75
    assert (
        0.4
        < sum(bool(re.search("[一-龥]", r["caption"])) for r in captioned) / len(captioned)
        < 0.6
    )


def test_an_object_query_has_exactly_the_images_with_the_object(
    world: Path, album: Path, queries: list[EvalQuery]
) -> None:
    coco = json.loads((world / "instances.json").read_text(encoding="utf-8"))
    pixels = {
        path.read_bytes(): f"images/{path.name}"
        for path in (album / synthetic_album.ALBUM).rglob("*.jpg")
    }
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    files = {
        each["id"]: pixels[(world / each["file_name"]).read_bytes()] for each in coco["images"]
    }
    for query in kind(queries, "object"):
        if query.language != "en":
            continue
        color, label = query.query.split(" ", 2)[1:]
        showing = {
            files[each["image_id"]]
            for each in coco["annotations"]
            if labels[each["category_id"]] == label and each["attributes"].get("colour") == color
        }
        assert {item.source for item in query.relevant} == showing, query.query


def test_an_image_with_both_objects_has_a_higher_grade(queries: list[EvalQuery]) -> None:
    grades = Counter(item.grade for query in kind(queries, "pair") for item in query.relevant)
    assert grades[2] > 0
    assert grades[1] > 0
    assert all(max(r.grade for r in query.relevant) == 2 for query in kind(queries, "pair"))


def test_a_folder_without_an_album_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is not an output folder of `sightline world`"):
        synthetic_album.prepare(tmp_path, tmp_path / "out")
