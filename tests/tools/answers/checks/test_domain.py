"""Questions and pictures that a model does not know are told from those that it knows."""

from __future__ import annotations

import pytest

from sightline.tools.answers.checks.domain import question_words, unknown_words

KNOWN = frozenset({"what", "colour", "is", "the", "van", "how", "many", "面包", "包车", "有几"})


@pytest.mark.parametrize(
    ("question", "unknown"),
    [
        ("What colour is the van?", []),
        ("What hue is the lorry?", ["hue", "lorry"]),
        # Names and numbers are no words of the question.
        ("What is the TH-8254?", []),
        ("How many is the 12?", []),
        ("有几面包车", ["几面"]),
    ],
)
def test_words_that_the_training_lacked(question: str, unknown: list[str]) -> None:
    assert unknown_words(question, KNOWN) == unknown


def test_without_a_list_of_words_all_are_known() -> None:
    assert unknown_words("What hue is the lorry?", frozenset()) == []


def test_the_first_word_of_a_question_is_no_name() -> None:
    assert question_words("Where is Oslo?") == {"where", "is"}
