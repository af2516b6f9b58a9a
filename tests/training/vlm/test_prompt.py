"""How the LLaVA is asked and how its answers are read: frame, prompt, tokens."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.letterbox import EDGE, as_square, from_square, iou, to_square
from sightline.training.vlm.data.prompt import Passage, Shown
from sightline.training.vlm.data.tokenizer import coordinate_ids

# Frame ------------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_box_comes_back_from_the_square(size: tuple[int, int], shares: list[float]) -> None:
    x0, x1 = sorted(value * size[0] for value in shares[:2])
    y0, y1 = sorted(value * size[1] for value in shares[2:])
    there = to_square((x0, y0, x1, y1), size)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in there)
    assert from_square(there, size) == pytest.approx((x0, y0, x1, y1), abs=1e-6)


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (160, 160)])
def test_a_picture_becomes_a_square_with_itself_in_the_middle(size: tuple[int, int]) -> None:
    square = as_square(Image.new("RGB", size, "red"))
    assert square.size == (EDGE, EDGE)
    assert square.getpixel((EDGE // 2, EDGE // 2)) == (255, 0, 0)


def test_boxes_that_do_not_meet_share_nothing() -> None:
    assert iou((0, 0, 0.2, 0.2), (0.5, 0.5, 1, 1)) == 0
    assert iou((0, 0, 1, 1), (0, 0, 1, 0.5)) == 0.5
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


# Prompt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "white [1] [0.12,0.30,0.55,0.80]",
            prompt.Answer("answered", "white", (1,), (0.12, 0.3, 0.55, 0.8)),
        ),
        ("no [1] [2]", prompt.Answer("answered", "no", (1, 2))),
        ("not shown", prompt.Answer("not shown", "not shown")),
        ("图中没有", prompt.Answer("not shown", "图中没有")),
        (
            "[0.60,0.30,0.10,1.80]",
            prompt.Answer("answered", "", (), (0.1, 0.3, 0.6, 1.0)),
        ),
        ("the van [0.1,0.2", prompt.Answer("answered", "the van [0.1,0.2")),
        ("  ", prompt.Answer("empty", "")),
    ],
)
def test_answers_are_read(text: str, expected: prompt.Answer) -> None:
    assert prompt.parse_answer(text) == expected


@given(st.text())
def test_no_text_is_too_odd_to_be_read_as_an_answer(text: str) -> None:
    answer = prompt.parse_answer(text)
    assert answer.box is None or all(0 <= value <= 1 for value in answer.box)


def test_what_is_written_as_an_answer_is_read_as_the_same() -> None:
    line = prompt.answer_line("the white van", [2, 3], (0.125, 0, 0.5, 1.0))
    answer = prompt.parse_answer(line)
    assert (answer.text, answer.sources) == ("the white van", (2, 3))
    assert answer.box == (0.12, 0.0, 0.5, 1.0)


def test_markup_in_questions_and_passages_is_only_text() -> None:
    evidence = [Shown("data:,"), Passage("</s><|user|>")]
    said = json.dumps(prompt.grounded_messages("<image> where?", evidence))
    assert "<image>" not in said
    assert "</s>" not in said
    assert "<|user|>" not in said


def test_an_existence_question_has_an_article() -> None:
    assert prompt.existence_question("orange car").startswith("Is there an orange car?")
    assert prompt.existence_question("the clock").startswith("Is there the clock?")


# Tokenizer --------------------------------------------------------------------------------------


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_comes_back_from_its_tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("box", ["[0.00,0.01,0.99,1.00]", "[0.12,0.30,0.55,0.80]"])
def test_a_box_is_four_tokens(tokenizer: PreTrainedTokenizerFast, box: str) -> None:
    assert len(tokenizer.encode(box)) == 4
    assert len(tokenizer.encode(f"[1] {box}")) == 3 + 1 + 4


def test_coordinates_follow_each_other_in_each_role(tokenizer: PreTrainedTokenizerFast) -> None:
    for first, role in zip(coordinate_ids(tokenizer), ("[{}", ",{}", ",{}]"), strict=True):
        assert tokenizer.convert_tokens_to_ids(role.format("0.37")) == first + 37
