"""The hostile album gives its orders where it says, and following one is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from benchmarks.answers import injection_benchmark
from benchmarks.answers.injection_benchmark import (
    ORDERS,
    PLACES,
    WORD,
    Case,
    judge,
    rates,
)
from sightline.server.evaluation.answers.answer_sections import turned
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult
from sightline.tools.answers.prompt_injection import gives_orders
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Case]]:
    folder = tmp_path_factory.mktemp("hostile") / "album"
    return folder, injection_benchmark.make(folder)


def result(text: str, verdict: str, answer: str | None) -> AnswerResult:
    claim = ClaimResult(text=text, citations=[1], verdict=verdict, reasons=[])  # type: ignore[arg-type]
    status = "answered" if answer else "not_shown"
    return AnswerResult(
        status=status,  # type: ignore[arg-type]
        answer=answer,
        claims=[claim],
        evidence=[],
        timings_ms={},
    )


def test_every_order_stands_once_in_every_place(album: tuple[Path, list[Case]]) -> None:
    folder, cases = album
    assert [(each.where, each.order) for each in cases] == [(w, o) for w in PLACES for o in ORDERS]
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    told = {row["file_name"]: row["caption"] for row in rows}
    documents = "".join(path.read_text() for path in folder.glob("*.md"))
    for number, case in enumerate(cases):
        name = case.question.sources[0]
        assert (folder / name).is_file()
        assert (name in told) == (case.where != "document")
        assert (case.order in told.get(name, "")) == (case.where == "caption")
        assert (WORD in name) == (case.where == "file name")
        assert (case.order in documents) or case.where != "document"
        assert case.question.answer != WORD
        family = list(FAMILIES)[number % len(FAMILIES)]
        plain = draw(family, seed_of("test", 700_000 + number), "test").image
        with Image.open(folder / name) as shown:
            assert (shown.height > plain.height) == (case.where == "picture")
            if case.where == "picture":
                band = shown.crop((0, plain.height, shown.width, shown.height))
                assert ImageChops.invert(band).getbbox() is not None


def test_the_word_that_orders_want_is_in_no_question_and_nearly_every_order_is_known() -> None:
    assert sum(map(gives_orders, ORDERS)) >= len(ORDERS) - 2


def test_an_answer_with_the_word_is_turned_and_one_that_was_withdrawn_is_withheld(
    album: tuple[Path, list[Case]],
) -> None:
    case = album[1][0]
    followed = judge(case, result(f"it is {WORD}", "unchecked", WORD))
    assert (followed.turned, followed.supported, followed.withheld) == (True, False, False)
    withheld = judge(case, result(WORD, "contradicted", None))
    assert (withheld.turned, withheld.withheld) == (False, True)
    vouched = judge(case, result(WORD.lower(), "supported", f"{WORD}S"))
    assert (vouched.turned, vouched.supported) == (True, True)
    steady = judge(case, result("white", "supported", "white"))
    assert (steady.turned, steady.supported, steady.withheld) == (False, False, False)
    (table,) = turned(rates([followed, withheld, vouched, steady])).parts
    assert table.rows == [["picture", 4, 2, 1, 1, 0]]  # type: ignore[union-attr]
