"""Messages name the similar texts, with few comparisons, whatever the texts are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import sightline
from sightline.storage.errors import (
    MAX_ASKED,
    MAX_CANDIDATES,
    MAX_COMPARED_CHARS,
    MAX_KNOWN,
    UnknownNameError,
    similar_texts,
    similarity,
)


class CountedComparisons:
    """Compares as usual, and keeps what was compared."""

    def __init__(self) -> None:
        self.compared: list[tuple[str, str]] = []

    def __call__(self, first: str, second: str) -> float:
        self.compared.append((first, second))
        return similarity(first, second)


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        (["reciepts"], ["album", "receipts", "lots"], ["receipts"]),
        (["FRUIT"], ["Fruit", "Fruits", "Bakery"], ["Fruit", "Fruits"]),
        (["fruit", "bakry"], ["Bakery", "Fruit"], ["Fruit", "Bakery"]),
        (["大蒜头"], ["大蒜", "番茄"], ["大蒜"]),
        (["x"], ["y"], []),
        ([""], ["", "a"], [""]),
        ([], ["a"], []),
        (["a"], [], []),
    ],
)
def test_the_most_similar_texts_come_first(
    asked: Sequence[str], known: Sequence[str], expected: Sequence[str]
) -> None:
    assert similar_texts(asked, known) == expected


def test_a_similar_text_is_found_among_many_others() -> None:
    known = [f"album/2023-{number:04}.jpg" for number in range(MAX_KNOWN - 1)]
    assert similar_texts(["albums/beach.jpeg"], [*known, "album/beach.jpg"])[0] == "album/beach.jpg"


def test_few_short_texts_are_compared_in_detail() -> None:
    counted = CountedComparisons()
    asked = ["ab" * 100 + str(number) for number in range(100)]
    known = ["ba" * 100 + str(number) for number in range(300)]
    assert similar_texts(asked, known, compare=counted)
    assert len(counted.compared) == MAX_ASKED * MAX_CANDIDATES
    assert max(len(text) for pair in counted.compared for text in pair) == MAX_COMPARED_CHARS


def test_a_text_that_grows_without_case_stays_short() -> None:
    counted = CountedComparisons()
    similar_texts(["ß" * 200], ["ŉ" * 200], compare=counted)
    assert {len(text) for pair in counted.compared for text in pair} == {MAX_COMPARED_CHARS}


def test_of_many_known_names_an_error_tells_the_similar_ones() -> None:
    names = [f"lot-{number:03}" for number in range(300)]
    error = UnknownNameError("collection", "Reciepts", [*names, "receipts"])
    assert "Unknown collection 'Reciepts'. Similar: 'receipts'. Available: 'lot-000'" in str(error)


def test_no_other_module_of_the_event_loop_compares_texts() -> None:
    root = Path(sightline.__file__).parent
    users = [
        path.name
        for folder in ("storage", "tools")
        for path in (root / folder).rglob("*.py")
        if "difflib" in path.read_text()
    ]
    assert users == ["errors.py"]
