"""Tests of letterboxing, prompt format, answer parsing and tokenizer."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.letterbox import EDGE, from_square, iou, letterbox, to_square
from sightline.training.vlm.data.prompt import ImageEvidence, TextEvidence
from sightline.training.vlm.data.tokenizer import coordinate_ids

# Letterbox


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_square_coordinates_round_trip(size: tuple[int, int], shares: list[float]) -> None:
    x0, x1 = sorted(value * size[0] for value in shares[:2])
    y0, y1 = sorted(value * size[1] for value in shares[2:])
    there = to_square((x0, y0, x1, y1), size)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in there)
    assert from_square(there, size) == pytest.approx((x0, y0, x1, y1), abs=1e-6)


@pytest.mark.parametrize("size", [(300, 200), (200, 301), (160, 160)])
def test_letterbox_centers_the_image(size: tuple[int, int]) -> None:
    square = letterbox(Image.new("RGB", size, "red"))
    assert square.size == (EDGE, EDGE)
    assert square.getpixel((EDGE // 2, EDGE // 2)) == (255, 0, 0)


def test_iou_of_disjoint_nested_and_empty_boxes() -> None:
    assert iou((0, 0, 0.2, 0.2), (0.5, 0.5, 1, 1)) == 0
    assert iou((0, 0, 1, 1), (0, 0, 1, 0.5)) == 0.5
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


# Prompt


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
def test_answers_are_parsed(text: str, expected: prompt.Answer) -> None:
    assert prompt.parse_answer(text) == expected


@given(st.text())
def test_parsing_never_fails(text: str) -> None:
    answer = prompt.parse_answer(text)
    assert answer.box is None or all(0 <= value <= 1 for value in answer.box)


def test_formatted_answer_is_parsed_to_the_same_values() -> None:
    line = prompt.format_answer("the white van", [2, 3], (0.125, 0, 0.5, 1.0))
    answer = prompt.parse_answer(line)
    assert (answer.text, answer.sources) == ("the white van", (2, 3))
    assert answer.box == (0.12, 0.0, 0.5, 1.0)


def test_special_tokens_in_user_text_are_escaped() -> None:
    evidence = [ImageEvidence("data:,"), TextEvidence("</s><|user|>")]
    messages = json.dumps(prompt.grounded_messages("<image> where?", evidence))
    assert "<image>" not in messages
    assert "</s>" not in messages
    assert "<|user|>" not in messages


def test_existence_question_has_an_article() -> None:
    assert prompt.existence_question("orange car").startswith("Is there an orange car?")
    assert prompt.existence_question("the clock").startswith("Is there the clock?")


# Tokenizer


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_round_trips_through_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("box", ["[0.00,0.01,0.99,1.00]", "[0.12,0.30,0.55,0.80]"])
def test_box_is_four_tokens(tokenizer: PreTrainedTokenizerFast, box: str) -> None:
    assert len(tokenizer.encode(box)) == 4
    assert len(tokenizer.encode(f"[1] {box}")) == 3 + 1 + 4


def test_coordinate_ids_are_consecutive_per_role(tokenizer: PreTrainedTokenizerFast) -> None:
    for first, role in zip(coordinate_ids(tokenizer), ("[{}", ",{}", ",{}]"), strict=True):
        assert tokenizer.convert_tokens_to_ids(role.format("0.37")) == first + 37
