"""The lies of the stub are false, and it repeats them."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from benchmarks.answers import real_benchmark
from benchmarks.answers.liar_benchmark import LieResult, ScriptedLiar, count_lies, lie_about
from sightline.server.evaluation.answer_metrics import EvalQuestion, exact_match
from sightline.tools.boxes.geometry import iou
from sightline.tools.vlm.vision_language_model import Request

BOX = [0.1, 0.2, 0.3, 0.4]


def asked(kind: str, question: str, answer: str, language: str = "en", **more: Any) -> EvalQuestion:
    groups = {"kind": kind, "language": language}
    return EvalQuestion(
        id=question, question=question, answer=answer, sources=["a.png"], groups=groups, **more
    )


@pytest.mark.parametrize(
    "question",
    [
        asked("count", "How many vans are there?", "2"),
        asked("count", "How many vans are there?", "0"),
        asked("existence", "Is there a van?", "no"),
        asked("relation", "Is the van above or below the bus?", "above"),
        asked("relation", "面包车在公共汽车的左边吗？", "是", "zh"),
        asked("attribute", "What colour is the van?", "red"),
        asked("attribute", "面包车是什么颜色？", "红色", "zh"),
        asked("comparison", "Which is taller, the lamp or the oven?", "lamp"),
        asked("reading", "What is the price?", "$15"),
        asked("reading", "What does the sign say?", "HOTEL"),
    ],
)
def test_a_lie_is_another_answer(question: EvalQuestion) -> None:
    lie = lie_about(question)
    assert lie is not None
    assert not exact_match(lie[0], question.answers)
    assert lie == lie_about(question)


def test_a_lie_about_a_location_is_another_box() -> None:
    where = asked("location", "Where is the van?", "the van", box=BOX, answer_is_box=True)
    lie = lie_about(where)
    assert lie is not None
    moved = lie[1]
    assert moved is not None
    assert iou(tuple(moved), tuple(BOX)) == 0  # type: ignore[arg-type]
    assert lie_about(asked("attribute", "What is it drawn on?", "pink paper")) is None


async def test_the_liar_confirms_its_lie() -> None:
    liar = ScriptedLiar("3", BOX)
    image = Image.new("RGB", (10, 10))
    reply = await liar.ask(Request((image, "How many?")))
    assert isinstance(reply.data, dict)
    assert reply.data["answer"] == "3"
    assert (await liar.ask(Request((image, "?"), choices=("yes", "no")))).choice == "yes"


def test_lies_and_truths_are_counted_by_kind() -> None:
    results = [
        LieResult("count", True, "uncertain", "contradicted"),
        LieResult("count", True, "answered", "supported"),
        LieResult("count", False, "answered", "supported"),
        LieResult("color", False, "uncertain", "contradicted"),
    ]
    counts = count_lies(results)
    assert counts["count"] == {
        "lies": 2,
        "detected": 1,
        "supported lies": 1,
        "supported truths": 1,
        "withheld truths": 0,
    }
    assert (counts["all"]["lies"], counts["all"]["withheld truths"]) == (2, 1)


def test_the_questions_about_real_pictures_are_valid() -> None:
    questions = real_benchmark.load_questions()
    assert len(questions) >= 200
    assert len({each.sources[0] for each in questions}) == 100
