"""Scores of answers, compared with values computed by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from sightline.server.evaluation.answer_metrics import (
    EvalQuestion,
    exact_match,
    faithfulness_by_verdict,
    normalize_answer,
    score_answer,
    summarize,
    vqa_accuracy,
)
from sightline.server.evaluation.answer_sections import answer_section, answers_to_json
from sightline.server.evaluation.bootstrap import bootstrap_ratio
from sightline.server.evaluation.report_model import ReportTable
from sightline.tools.answers.answer_results import (
    AnswerResult,
    ClaimResult,
    EvidenceAsset,
    EvidenceItem,
)

RIGHT, WRONG = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not valid JSON")


def question(answer: str = "white", **more: Any) -> EvalQuestion:
    return EvalQuestion(question="What colour?", answer=answer, sources=["a.png"], **more)


def claim(
    *citations: int, verdict: str = "supported", box: list[float] | None = None
) -> ClaimResult:
    return ClaimResult(
        text="white", citations=list(citations), verdict=verdict, reasons=[], box=box
    )  # type: ignore[arg-type]


def result(answer: str | None, *claims: ClaimResult, status: str = "answered") -> AnswerResult:
    evidence = [
        EvidenceItem(
            number=n,
            kind="image",
            source=asset,
            collection="c",
            asset=EvidenceAsset(asset=asset),
        )
        for n, asset in enumerate((RIGHT, WRONG), 1)
    ]
    return AnswerResult(
        status=status,  # type: ignore[arg-type]
        answer=answer,
        claims=list(claims),
        evidence=evidence,
        timings_ms={},
    )


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("The van.", "van"), ("two", "2"), ("05:40", "5:40"), ("HS‑46", "hs-46"), ("两", "两")],
)
def test_answers_that_differ_only_in_form_match(answer: str, reference: str) -> None:
    assert exact_match(answer, [reference])
    assert normalize_answer(answer) == normalize_answer(reference)


def test_answers_that_differ_in_content_do_not_match() -> None:
    assert not exact_match("12", ["2"])
    assert not exact_match("white", ["off white"])
    assert not exact_match(None, ["white"])


def test_vqa_accuracy_matches_the_definition_of_the_challenge() -> None:
    # Two of ten annotators agree: without one of the two 1/3, without another one 2/3.
    annotators = ["red"] * 2 + ["blue"] * 8
    assert vqa_accuracy("red", annotators) == pytest.approx((2 * (1 / 3) + 8 * (2 / 3)) / 10)
    assert vqa_accuracy("blue", annotators) == 1
    assert vqa_accuracy("green", annotators) == 0
    assert vqa_accuracy("red", ["red"]) == 1


def test_citations_count_if_they_show_the_answer() -> None:
    found = score_answer(question(), result("white", claim(1, 2), claim(2)), {RIGHT}, {})
    assert found.correct
    # Two of three citations are wrong; one of two claims has a correct one.
    assert found.citation_precision == pytest.approx(1 / 3)
    assert found.citation_recall == 0.5
    assert found.faithfulness == 0.5
    assert found.verdicts == (("supported", True), ("supported", False))


def test_contradicted_claims_are_not_scored_and_no_claims_give_nan() -> None:
    found = score_answer(question(), result("white", claim(2, verdict="contradicted")), {RIGHT}, {})
    assert math.isnan(found.citation_recall)
    assert math.isnan(found.faithfulness)
    readings = score_answer(
        question(), result(None, claim(1), claim(2), status="ambiguous"), {RIGHT}, {}
    )
    assert readings.abstained
    assert math.isnan(readings.citation_precision)


def test_a_location_is_correct_by_its_iou_in_the_correct_image() -> None:
    asked = question("the van", box=[0.0, 0.0, 0.5, 0.5], answer_is_box=True)
    near = score_answer(asked, result("the van", claim(1, box=[0.0, 0.0, 0.5, 0.4])), {RIGHT}, {})
    far = score_answer(asked, result("the van", claim(1, box=[0.5, 0.5, 1.0, 1.0])), {RIGHT}, {})
    elsewhere = score_answer(
        asked, result("the van", claim(2, box=[0.0, 0.0, 0.5, 0.5])), {RIGHT}, {}
    )
    assert (near.correct, near.box_iou) == (True, pytest.approx(0.8))
    assert (far.correct, far.box_iou) == (False, 0)
    assert (elsewhere.correct, elsewhere.box_iou) == (False, 0)


def test_abstaining_is_correct_only_if_there_is_no_answer() -> None:
    silent = result(None, status="not_shown")
    assert score_answer(question("not shown"), silent, {RIGHT}, {}).correct
    assert not score_answer(question(), silent, {RIGHT}, {}).correct
    rash = score_answer(question("not shown"), result("white", claim(1)), {RIGHT}, {})
    assert not rash.correct
    # There is no answer, so no citation shows one.
    assert (rash.citation_precision, rash.faithfulness) == (0, 0)


def test_a_closed_book_answer_is_scored_by_its_text() -> None:
    assert score_answer(question(), result("white"), (), {}).correct
    where = score_answer(
        question("van", box=[0, 0, 1, 1], answer_is_box=True), result("van"), (), {}
    )
    assert (where.correct, where.box_iou) == (False, 0)
    silent = score_answer(question("图中没有"), result(None, status="not_shown"), (), {})
    assert (silent.correct, math.isnan(silent.citation_recall)) == (True, True)


def test_the_summary_has_precision_recall_and_f1_of_abstention() -> None:
    asked = [question(f"{n}", id=f"{n}") for n in range(4)]
    nothing = [question("not shown", id=f"no {n}") for n in range(2)]
    silent, loud = result(None, status="not_shown"), result("0", claim(1))
    scores = [
        *(score_answer(each, loud, {RIGHT}, {}) for each in asked[:3]),
        score_answer(asked[3], silent, {RIGHT}, {}),
        score_answer(nothing[0], silent, {RIGHT}, {}),
        score_answer(nothing[1], loud, {RIGHT}, {}),
    ]
    found = summarize(scores)
    assert found["accuracy"].value == pytest.approx(2 / 6)
    assert found["exact match"].value == pytest.approx(1 / 4)
    assert found["abstention precision"].value == 0.5
    assert found["abstention recall"].value == 0.5
    assert found["abstention F1"].value == 0.5
    assert found["accuracy"].low <= 2 / 6 <= found["accuracy"].high
    assert faithfulness_by_verdict(scores)["supported"].value == pytest.approx(1 / 4)
    table = answer_section({"oracle": scores, "closed_book": scores}).blocks[0]
    assert isinstance(table, ReportTable)
    row = next(row for row in table.rows if row[0] == "exact match (n 4)")
    assert row[1:] == [found["exact match"]] * 2
    text = json.dumps(answers_to_json({"closed_book": scores}))
    answers = json.loads(text, parse_constant=_refuse)["closed_book"]["answers"]
    assert [each["citation_recall"] for each in answers] == [1, 1, 1, None, None, 0]


def test_the_interval_of_a_ratio_narrows_with_more_topics() -> None:
    above, below = np.array([1.0, 0.0] * 10), np.ones(20)
    few = bootstrap_ratio(above[:10], below[:10], [f"{n}" for n in range(10)])
    many = bootstrap_ratio(np.tile(above, 20), np.ones(400), [f"{n}" for n in range(400)])
    assert few.value == many.value == 0.5
    assert many.high - many.low < few.high - few.low
    # Answers about one image are not independent.
    assert bootstrap_ratio(above, below, ["one"] * 20).high == 0.5


def test_a_question_that_cannot_be_scored_is_rejected() -> None:
    with pytest.raises(ValueError, match="answer_is_box needs a box"):
        question(answer_is_box=True)
    with pytest.raises(ValueError, match="answer is empty"):
        question("  ")
