"""Answers are scored as their definitions say, worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sightline.server.evaluation.answers.answer_match import exact, normalised, vqa_accuracy
from sightline.server.evaluation.answers.answer_metrics import Score, score
from sightline.server.evaluation.answers.answer_sections import rows, section, thresholds
from sightline.server.evaluation.answers.answer_totals import by_verdict, ratio, totals
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import Table
from sightline.tools.answers.answer_results import AnswerResult, ClaimResult, EvidenceItem
from sightline.tools.shared.references import AssetReference

RIGHT, WRONG = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def question(answer: str = "white", **more: Any) -> Question:
    return Question(question="What colour?", answer=answer, sources=["a.png"], **more)


def claim(*citations: int, verdict: str = "supported", box: list[float] | None = None) -> ClaimResult:
    return ClaimResult(text="white", citations=list(citations), verdict=verdict, reasons=[], box=box)  # type: ignore[arg-type]


def result(answer: str | None, *claims: ClaimResult, status: str = "answered") -> AnswerResult:
    evidence = [
        EvidenceItem(
            number=n,
            kind="image",
            source=asset,
            asset=AssetReference(
                asset=asset, source=asset, collection="c", kind="image", size=[9, 9], uri="x"
            ),
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
    ("said", "truth"),
    [("The van.", "van"), ("two", "2"), ("05:40", "5:40"), ("HS‑46", "hs-46"), ("两", "两")],
)
def test_answers_that_differ_in_wording_alone_are_the_same(said: str, truth: str) -> None:
    assert exact(said, [truth])
    assert normalised(said) == normalised(truth)


def test_answers_that_differ_in_what_they_say_are_not() -> None:
    assert not exact("12", ["2"])
    assert not exact("white", ["off white"])
    assert not exact(None, ["white"])


def test_vqa_accuracy_is_that_of_the_challenge() -> None:
    # Two of ten people said so: leaving out one of the two, min(1/3, 1), leaving out another, 2/3.
    people = ["red"] * 2 + ["blue"] * 8
    assert vqa_accuracy("red", people) == pytest.approx((2 * (1 / 3) + 8 * (2 / 3)) / 10)
    assert vqa_accuracy("blue", people) == 1
    assert vqa_accuracy("green", people) == 0
    assert vqa_accuracy("red", ["red"]) == 1


def test_citations_count_where_they_show_the_answer() -> None:
    found = score(question(), result("white", claim(1, 2), claim(2)), {RIGHT}, {})
    assert found.right
    # Two of three citations are of the wrong picture; one of two claims has a right one.
    assert found.citation_precision == pytest.approx(1 / 3)
    assert found.citation_recall == 0.5
    assert found.faithful == 0.5
    assert found.verdicts == (("supported", True), ("supported", False))


def test_withdrawn_claims_are_not_counted_and_no_claims_are_no_figure() -> None:
    found = score(question(), result("white", claim(2, verdict="contradicted")), {RIGHT}, {})
    assert math.isnan(found.citation_recall)
    assert math.isnan(found.faithful)
    readings = score(question(), result(None, claim(1), claim(2), status="ambiguous"), {RIGHT}, {})
    assert readings.abstained
    assert math.isnan(readings.citation_precision)


def test_a_place_is_right_by_its_overlap_in_the_right_picture() -> None:
    asked = question("the van", box=[0.0, 0.0, 0.5, 0.5], place=True)
    near = score(asked, result("the van", claim(1, box=[0.0, 0.0, 0.5, 0.4])), {RIGHT}, {})
    far = score(asked, result("the van", claim(1, box=[0.5, 0.5, 1.0, 1.0])), {RIGHT}, {})
    elsewhere = score(asked, result("the van", claim(2, box=[0.0, 0.0, 0.5, 0.5])), {RIGHT}, {})
    assert (near.right, near.overlap) == (True, pytest.approx(0.8))
    assert (far.right, far.overlap) == (False, 0)
    assert (elsewhere.right, elsewhere.overlap) == (False, 0)


def test_abstaining_is_right_where_there_is_no_answer_and_wrong_elsewhere() -> None:
    silent = result(None, status="not_shown")
    assert score(question("not shown"), silent, {RIGHT}, {}).right
    assert not score(question(), silent, {RIGHT}, {}).right
    rash = score(question("not shown"), result("white", claim(1)), {RIGHT}, {})
    assert not rash.right
    # There is no answer, so nothing that it cites shows one.
    assert (rash.citation_precision, rash.faithful) == (0, 0)


def test_what_a_model_says_alone_is_judged_by_its_words() -> None:
    assert score(question(), result("white"), (), {}).right
    where = score(question("van", box=[0, 0, 1, 1], place=True), result("van"), (), {})
    assert (where.right, where.overlap) == (False, 0)
    silent = score(question("图中没有"), result(None, status="not_shown"), (), {})
    assert (silent.right, math.isnan(silent.citation_recall)) == (True, True)


def test_totals_have_precision_recall_and_f1_of_abstaining() -> None:
    asked = [question(f"{n}", id=f"{n}") for n in range(4)]
    nothing = [question("not shown", id=f"no {n}") for n in range(2)]
    silent, loud = result(None, status="not_shown"), result("0", claim(1))
    scores = [
        *(score(each, loud, {RIGHT}, {}) for each in asked[:3]),
        score(asked[3], silent, {RIGHT}, {}),
        score(nothing[0], silent, {RIGHT}, {}),
        score(nothing[1], loud, {RIGHT}, {}),
    ]
    found = totals(scores)
    assert found["right"].value == pytest.approx(2 / 6)
    assert found["exact match"].value == pytest.approx(1 / 4)
    assert found["abstention precision"].value == 0.5
    assert found["abstention recall"].value == 0.5
    assert found["abstention F1"].value == 0.5
    assert found["right"].low <= 2 / 6 <= found["right"].high
    assert by_verdict(scores)["supported"].value == pytest.approx(1 / 4)
    table = section({"given": scores, "none": scores}).parts[0]
    assert isinstance(table, Table)
    row = next(row for row in table.rows if row[0] == "exact match (n 4)")
    assert row[1:] == [found["exact match"]] * 2
    lines = [
        json.loads(line, parse_constant=_refuse) for line in rows({"none": scores}).split("\n")[:-1]
    ]
    assert [each["citation_recall"] for each in lines] == [1, 1, 1, None, None, 0]


def test_what_a_threshold_would_withhold_is_told_without_asking_again() -> None:
    def scored(n: int, said: str | None, sure: float) -> Score:
        status = "answered" if said else "not_shown"
        answered = result(said, claim(1), status=status)
        asked = question("white" if n < 4 else "not shown", id=f"{n}")
        return replace(score(asked, answered, {RIGHT}, {}), confidence=sure)

    scores = [
        scored(0, "white", 0.9),
        scored(1, "white", 0.45),
        scored(2, "red", 0.35),
        scored(3, None, 0.05),  # there is no answer to withhold
        scored(4, "red", 0.15),
    ]
    (table,) = thresholds(scores).parts
    assert isinstance(table, Table)
    rows = {
        row[0]: [cell.value for cell in row[1:] if isinstance(cell, Estimate)] for row in table.rows
    }
    names = list(table.head[1:])
    for least, right, answered, precision, recall in (
        ("0.0", 2 / 5, 4 / 5, 0, 0),
        ("0.2", 3 / 5, 3 / 5, 1 / 2, 1),
        ("0.4", 3 / 5, 2 / 5, 1 / 3, 1),
        ("0.5", 2 / 5, 1 / 5, 1 / 4, 1),
    ):
        found = dict(zip(names, rows[least], strict=True))
        assert found["right"] == pytest.approx(right)
        assert found["answered"] == pytest.approx(answered)
        assert found["abstention precision"] == pytest.approx(precision)
        assert found["abstention recall"] == pytest.approx(recall)
    assert dict(zip(names, rows["0.5"], strict=True))["right where answered"] == 1


def test_the_interval_of_a_ratio_narrows_with_more_topics() -> None:
    above, below = np.array([1.0, 0.0] * 10), np.ones(20)
    few = ratio(above[:10], below[:10], [f"{n}" for n in range(10)])
    many = ratio(np.tile(above, 20), np.ones(400), [f"{n}" for n in range(400)])
    assert few.value == many.value == 0.5
    assert many.high - many.low < few.high - few.low
    # Answers about one picture are no independent evidence.
    assert ratio(above, below, ["one"] * 20).high == 0.5


def test_a_question_that_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="place asks for a box"):
        question(place=True)
    with pytest.raises(ValueError, match="answer is empty"):
        question("  ")
