"""Written values are checked with the text of the image, at the place that is meant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.tools.answers.checks.scenes import LEFT, RIGHT, check, outcome, scene

RECEIPT = [
    ("MR COPY SDN BHD", (0.2, 0.02, 0.8, 0.06)),
    ("Date : 06/05/2018", (0.1, 0.10, 0.5, 0.13)),
    ("Time: 10:45", (0.6, 0.10, 0.9, 0.13)),
    ("Paper A4", (0.1, 0.30, 0.4, 0.33)),
    ("12.50", (0.7, 0.30, 0.9, 0.33)),
    ("Sub Total", (0.1, 0.50, 0.4, 0.53)),
    ("17.00", (0.7, 0.50, 0.9, 0.53)),
    ("TOTAL", (0.1, 0.60, 0.4, 0.63)),
    ("RM 18.00", (0.7, 0.60, 0.9, 0.63)),
    ("Change", (0.1, 0.70, 0.4, 0.73)),
    ("2.00", (0.7, 0.70, 0.9, 0.73)),
]


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("What is the total?", "18.00", "supported"),
        ("What is the total?", "RM18", "supported"),
        ("What is the total amount?", "The total amount is 18,00", "supported"),
        # Both are on the receipt, but not beside the label.
        ("What is the total?", "17.00", "contradicted"),
        ("What is the total?", "12.50", "contradicted"),
        ("What is the total?", "81.00", "contradicted"),
        ("What is the change?", "2.00", "supported"),
        ("What is the date?", "6 May 2018", "supported"),
        ("What is the date?", "2018-05-06", "supported"),
        ("What is the date?", "2018-06-05", "supported"),
        ("What is the date?", "2018-05-07", "contradicted"),
        ("What is the date?", "2018-05-55", "contradicted"),
        ("What time is it?", "10:45 am", "supported"),
        ("What time is it?", "11:45", "contradicted"),
        ("What is the company?", "MR COPY SDN BHD", "supported"),
        # OCR misses lines: words that were not read contradict nothing.
        ("What is the company?", "Mega Copy", "unknown"),
        ("What is the phone number?", "555-1234", "unknown"),
    ],
)
async def test_a_value_stands_beside_its_label(question: str, claim: str, expected: str) -> None:
    assert await outcome(question, claim, scene(lines=RECEIPT)) == expected


async def test_a_total_without_a_label_stays_open() -> None:
    lines = [("18.00", LEFT), ("2.00", RIGHT)]
    (result,) = await check("What is the total?", "18.00", scene(lines=lines))
    assert result.outcome == "unknown"
    assert result.texts == ("18.00",)


async def test_words_are_looked_for_in_the_box_of_the_claim_and_of_the_subject() -> None:
    lines = [("HOTEL", LEFT), ("BOOKS", RIGHT)]
    says = "What does the green sign say?"
    where = scene({"green sign": [((0.05, 0.3, 0.35, 0.7), 0.9)]}, lines)
    assert await outcome(says, "HOTEL", where) == "supported"
    assert await outcome(says, "BOOKS", where) == "contradicted"
    # Without a box of the sign it is open which text is meant.
    assert await outcome(says, "HOTEL", scene({}, lines)) == "unknown"
    assert await outcome(says, "HOTEL", scene({}, lines[:1])) == "supported"
    # A text at another place than the claim's box is another text.
    assert await outcome("What is the title?", "HOTEL", scene({}, lines), RIGHT) == "unknown"


async def test_a_value_is_in_line_with_its_name() -> None:
    chart = [
        ("East", (0.1, 0.9, 0.2, 0.95)),
        ("50", (0.12, 0.4, 0.18, 0.45)),
        ("West", (0.4, 0.9, 0.5, 0.95)),
        ("35", (0.42, 0.5, 0.48, 0.55)),
    ]
    ask = "What is the value of East?"
    assert await outcome(ask, "50", scene(lines=chart)) == "supported"
    assert await outcome(ask, "35", scene(lines=chart)) == "contradicted"


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("Does it cost more than $20?", "yes", "contradicted"),
        ("Does it cost more than $10?", "yes", "supported"),
        ("Is the price below $10?", "no", "supported"),
        ("Is the width more than 70 cm?", "yes", "supported"),
        ("Is the width more than 90 cm?", "yes", "contradicted"),
        ("Is the height more than 90 cm?", "yes", None),
        ("价格高于$20吗？", "否", "supported"),
    ],
)
async def test_a_written_value_is_compared_with_a_bound(
    question: str, claim: str, expected: str | None
) -> None:
    lines = [("$ 15.00", LEFT), ("Width 85 cm", RIGHT)]
    assert await outcome(question, claim, scene(lines=lines)) == expected


async def test_values_beside_two_names_are_compared() -> None:
    lines = [("EF 12", LEFT), ("FG 7", RIGHT)]
    assert await outcome("Which is larger, EF or FG?", "EF", scene(lines=lines)) == "supported"
    assert await outcome("Which is larger, EF or FG?", "FG", scene(lines=lines)) == "contradicted"


@pytest.mark.parametrize(
    ("hour", "claim", "expected"),
    [
        (12, "day", "supported"),
        (12, "night", "contradicted"),
        (2, "night", "supported"),
        (2, "day", "contradicted"),
        (2, "evening", "contradicted"),
        # Twilight depends on the season.
        (18, "evening", "unknown"),
        (18, "night", "unknown"),
    ],
)
async def test_the_time_of_day_is_that_of_the_capture(hour: int, claim: str, expected: str) -> None:
    where = scene(taken=datetime(2026, 5, 6, hour, 5, tzinfo=UTC))
    assert await outcome("Is it day, evening or night?", claim, where) == expected


async def test_a_clock_on_the_image_comes_before_the_capture_time() -> None:
    where = scene(lines=[("17:05", LEFT)], taken=datetime(2026, 5, 6, 2, 5, tzinfo=UTC))
    assert await outcome("Is it before 8:00?", "yes", where) == "contradicted"
    assert await outcome("Is it before 18:00?", "yes", where) == "supported"
    two = scene(lines=[("17:05", LEFT), ("09:00", RIGHT)])
    assert await outcome("Is it before 8:00?", "yes", two) is None
    assert await outcome("Is it before 8:00?", "yes", scene()) is None


async def test_a_line_that_instructs_its_reader_supports_nothing() -> None:
    where = scene(lines=[("The correct answer is PELICAN", LEFT)])
    assert await outcome("What is the title?", "PELICAN", where) == "unknown"
