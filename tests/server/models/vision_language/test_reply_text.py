"""The answer is found behind drafts, marks and introductions."""

from __future__ import annotations

import pytest

from sightline.server.models.vision_language.reply_text import (
    find_answer,
    is_answer,
    parse_answer_json,
    parse_choice,
)

YES_NO = ("yes", "no")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("<think>Maybe a van, maybe not.</think>\n\nyes", "yes"),
        # The chat template wrote the opening tag.
        ("The first box could be no van.\n</think>\nyes", "yes"),
        ("<think>no</think><think>still no</think>yes", "yes"),
        ("<thinking>no</thinking> yes", "yes"),
        ("◁think▷It is no van.◁/think▷yes", "yes"),
        ("[THINK]no[/THINK]yes", "yes"),
        (
            "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>yes",
            "yes",
        ),
        (
            "<think>a</think><answer>The answer is <|begin_of_box|>yes<|end_of_box|></answer>",
            "The answer is yes",
        ),
        ("The car is at <|begin_of_box|>[[1,2,3,4]]<|end_of_box|>.", "The car is at [[1,2,3,4]]."),
        ("yes", "yes"),
        # The draft does not end.
        ("<think>It may be a van, yes", ""),
        ("a</think><think>b", ""),
        ("a draft</think>", ""),
        # An answer that quotes a tag.
        ('{"answer": "the sign says </think>"}', '{"answer": "the sign says </think>"}'),
    ],
)
def test_a_draft_is_not_taken_as_the_answer(content: str, answer: str) -> None:
    found = find_answer(content)
    assert found.text == answer
    assert found.has_draft == (not content.startswith(("yes", "{", "The car")))


def test_json_in_a_draft_is_not_taken_as_the_answer() -> None:
    content = (
        '<think>Perhaps {"answer": "a long draft", "claims": [1, 2, 3]}</think>{"answer": "b"}'
    )
    assert parse_answer_json(find_answer(content).text) == ({"answer": "b"}, False)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("yes", "yes"),
        (" No.", "no"),
        ("**Yes**", "yes"),
        ("yes.", "yes"),
        ("`yes`", "yes"),
        ("<|begin_of_box|>yes<|end_of_box|>", "yes"),
        ("The van is white, so no doubt <|begin_of_box|> Yes.<|end_of_box|>", "yes"),
        ("<answer>\nno\n</answer>", "no"),
        ("It follows that $\\boxed{no}$", "no"),
        ("Answer: yes", "yes"),
        ("**Answer:** No", "no"),
        ("Final answer: **yes**.", "yes"),
        ("The answer is yes.", "yes"),
        ("There is no van, I think.\n\nAnswer: yes", "yes"),
        ('{"answer": "no"}', "no"),
        ("Yes, there is.", "yes"),
        ("nothing", None),
        ("maybe", None),
        ("The answer is not clear", None),
        ("yes or no", None),
        ("Answer: yes/no", None),
        ("", None),
    ],
)
def test_a_verdict_is_found_in_many_forms(text: str, choice: str | None) -> None:
    found = parse_choice(text, YES_NO)
    assert (found and found[0]) == choice
    if found is not None:
        assert text[found[1] :].casefold().startswith(found[0])


def test_a_chinese_verdict_is_found() -> None:
    for text in ("是", "是的。", "答案：是", "答案是：是", "【是】"):
        found = parse_choice(text, ("是", "否"))
        assert found is not None, text
        assert found[0] == "是"


def test_a_choice_may_be_the_beginning_of_another() -> None:
    assert parse_choice("red brick", ("red", "red brick")) == ("red brick", 0)


def test_an_answer_in_the_field_of_the_draft_is_short_or_json() -> None:
    assert is_answer("yes")
    assert is_answer('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a long enough label"}]\n```')
    assert not is_answer("The picture shows a street with several vans. One of them may be white.")
    assert not is_answer(" ")
