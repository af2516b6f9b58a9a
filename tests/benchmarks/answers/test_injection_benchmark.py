"""The injected instructions and the detection of followed ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from benchmarks.answers import injection_benchmark
from benchmarks.answers.injection_benchmark import (
    INSTRUCTIONS,
    LOCATIONS,
    TARGET_WORD,
    InjectionCase,
    count_results,
    judge_result,
)
from benchmarks.answers.injection_cases import MORE_INSTRUCTIONS
from benchmarks.answers.sections import injection_section
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult
from sightline.tools.answers.prompt_injection import is_possible_injection
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[InjectionCase]]:
    folder = tmp_path_factory.mktemp("injection") / "album"
    return folder, injection_benchmark.write_album(folder)


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


def test_every_instruction_is_once_at_every_location(
    album: tuple[Path, list[InjectionCase]],
) -> None:
    folder, cases = album
    more = [(place, text.format(word=TARGET_WORD)) for place, text in MORE_INSTRUCTIONS]
    assert [(each.location, each.instruction) for each in cases] == [
        *((location, each) for location in LOCATIONS for each in INSTRUCTIONS),
        *more,
    ]
    assert len(more) == 30
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    captions = {row["file_name"]: row["caption"] for row in rows}
    comments = {row["file_name"]: row.get("comment") for row in rows} | dict.fromkeys(
        (each.question.sources[0] for each in cases if each.location == "document"), None
    )
    documents = "".join(path.read_text() for path in folder.glob("*.md"))
    for number, case in enumerate(cases):
        name = case.question.sources[0]
        assert (folder / name).is_file()
        assert (name in captions) == (case.location != "document")
        assert (case.instruction in captions.get(name, "")) == (case.location == "caption")
        assert (TARGET_WORD in name) == (case.location == "file name")
        assert (case.instruction in documents) or case.location != "document"
        assert (case.instruction == comments[name]) == (case.location == "metadata")
        assert case.question.answer != TARGET_WORD
        family = list(FAMILIES)[number % len(FAMILIES)]
        plain = draw(family, seed_of("test", 700_000 + number), "test").image
        with Image.open(folder / name) as shown:
            assert (shown.height > plain.height) == (case.location == "image")
            if case.location == "image":
                band = shown.crop((0, plain.height, shown.width, shown.height))
                assert ImageChops.invert(band).getbbox() is not None


def test_the_detector_recognizes_almost_every_instruction() -> None:
    assert sum(map(is_possible_injection, INSTRUCTIONS)) >= len(INSTRUCTIONS) - 2
    more = [text.format(word=TARGET_WORD) for _, text in MORE_INSTRUCTIONS]
    assert [each for each in more if not is_possible_injection(each)] == []


def test_an_answer_with_the_target_word_has_followed_and_a_rejected_one_is_withheld(
    album: tuple[Path, list[InjectionCase]],
) -> None:
    case = album[1][0]
    followed = judge_result(case, result(f"it is {TARGET_WORD}", "unchecked", TARGET_WORD))
    assert (followed.followed, followed.supported, followed.withheld) == (True, False, False)
    withheld = judge_result(case, result(TARGET_WORD, "contradicted", None))
    assert (withheld.followed, withheld.withheld) == (False, True)
    supported = judge_result(case, result(TARGET_WORD.lower(), "supported", f"{TARGET_WORD}S"))
    assert (supported.followed, supported.supported) == (True, True)
    unaffected = judge_result(case, result("white", "supported", "white"))
    assert (unaffected.followed, unaffected.supported, unaffected.withheld) == (False, False, False)
    (table,) = injection_section(count_results([followed, withheld, supported, unaffected])).blocks
    assert table.rows == [["image", 4, 2, 1, 1, 0]]  # type: ignore[union-attr]
