"""Counts, existence and locations are checked with the boxes of a detector."""

from __future__ import annotations

import pytest

from tests.tools.answers.checks.scenes import LEFT, RIGHT, check, outcome, scene

HOW_MANY = "How many vans are there?"
MIDDLE = (0.35, 0.4, 0.55, 0.6)


@pytest.mark.parametrize(
    ("scores", "claim", "expected"),
    [
        ((0.9, 0.8), "2", "supported"),
        ((0.9, 0.8), "3", "contradicted"),
        ((0.9, 0.8), "1", "contradicted"),
        ((), "0", "supported"),
        # Detectors miss small things.
        ((), "1", "unknown"),
        # The third box may be a van or not.
        ((0.9, 0.8, 0.4), "2", "unknown"),
        ((0.9, 0.8, 0.4), "3", "unknown"),
        ((0.9, 0.8, 0.4), "4", "contradicted"),
        # Below the lower limit, a box says nothing.
        ((0.9, 0.8, 0.1), "2", "supported"),
    ],
)
async def test_a_count_is_the_number_of_boxes(
    scores: tuple[float, ...], claim: str, expected: str
) -> None:
    boxes = [(box, score) for box, score in zip((LEFT, RIGHT, MIDDLE), scores, strict=False)]
    (result,) = await check(HOW_MANY, claim, scene({"van": boxes}))
    assert result.check == "count"
    assert result.outcome == expected
    assert len(result.places) == sum(score >= 0.12 for score in scores)
    assert result.milliseconds > 0


async def test_without_a_detector_a_count_is_not_checked() -> None:
    assert await outcome(HOW_MANY, "2", scene()) is None


async def test_no_box_says_nothing_about_words_that_the_detector_does_not_know() -> None:
    known = frozenset({"van", "red"})
    assert await outcome(HOW_MANY, "0", scene({}, known_words=known)) == "supported"
    assert await outcome("How many zebras?", "0", scene({}, known_words=known)) == "unknown"
    assert await outcome("Is there a zebra?", "no", scene({}, known_words=known)) == "unknown"
    assert await outcome("Is there a zebra?", "no", scene({})) == "supported"
    more = "Are there more vans than zebras?"
    boxes = {"van": [(LEFT, 0.9)]}
    assert await outcome(more, "yes", scene(boxes, known_words=known)) == "unknown"
    assert await outcome(more, "yes", scene(boxes)) == "supported"


@pytest.mark.parametrize(
    ("score", "claim", "expected"),
    [
        (0.9, "yes", "supported"),
        (0.9, "no", "contradicted"),
        (0.4, "yes", "unknown"),
        (0.4, "no", "unknown"),
        (None, "yes", "contradicted"),
        (None, "no", "supported"),
    ],
)
async def test_what_exists_has_a_box(score: float | None, claim: str, expected: str) -> None:
    boxes = {"red van": [] if score is None else [(LEFT, score)]}
    assert await outcome("Is there a red van?", claim, scene(boxes)) == expected


async def test_what_has_a_name_exists_if_its_name_was_read() -> None:
    known = frozenset({"bar", "for"})
    where = scene({}, [("South", LEFT)], known_words=known)
    assert await outcome("Is there a bar for South?", "yes", where) == "supported"
    assert await outcome("Is there a bar for South?", "no", where) == "contradicted"
    # The built-in detector does not read, so that it finds no box says nothing.
    assert await outcome("Is there a bar for North?", "no", where) == "unknown"


async def test_quoted_words_exist_if_they_were_read() -> None:
    where = scene({}, [("GRAND HOTEL", LEFT)])
    assert await outcome('Is there a "HOTEL" sign?', "yes", where) == "supported"
    assert await outcome('Is there a "HOTEL" sign?', "no", where) == "contradicted"
    # OCR misses lines.
    assert await outcome('Is there a "CAFE" sign?', "yes", where) == "unknown"


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (LEFT, "supported"),
        ((0.12, 0.4, 0.32, 0.6), "supported"),
        ((0.22, 0.4, 0.6, 0.6), "unknown"),
        (RIGHT, "contradicted"),
    ],
)
async def test_a_location_is_where_the_box_is(
    box: tuple[float, float, float, float], expected: str
) -> None:
    where = scene({"red van": [(LEFT, 0.9)]})
    assert await outcome("Where is the red van?", "the red van", where, box) == expected


async def test_a_location_without_a_sure_box_stays_open() -> None:
    where = scene({"red van": [(LEFT, 0.4)]})
    assert await outcome("Where is the red van?", "the red van", where, RIGHT) == "unknown"
    assert await outcome("Where is the red van?", "the red van", where) is None


async def test_a_name_is_located_in_the_text() -> None:
    where = scene({}, [("HS-40", LEFT), ("32 mm", RIGHT)])
    assert await outcome("Where is HS-40?", "HS-40", where, LEFT) == "supported"
    assert await outcome("Where is HS-40?", "HS-40", where, RIGHT) == "contradicted"


async def test_the_detector_is_asked_once_for_a_phrase() -> None:
    where = scene({"van": [(LEFT, 0.9)]})
    for _ in range(3):
        await outcome(HOW_MANY, "1", where)
    assert where._detector.asked == ["van"]  # type: ignore[union-attr]


async def test_a_weak_box_leaves_open_whether_there_is_none() -> None:
    for question, claim in (("Is there a van?", "no"), ("How many vans are there?", "0")):
        assert await outcome(question, claim, scene({"van": []})) == "supported"
        assert await outcome(question, claim, scene({"van": [(LEFT, 0.15)]})) == "unknown"


async def test_a_name_that_is_missing_among_others_does_not_exist() -> None:
    names = [("Begin", LEFT), ("Pack", RIGHT), ("Done", (0.8, 0.1, 0.9, 0.2))]
    where = scene({}, names, known_words=frozenset({"step"}))
    (found,) = await check("Is there a step Wait?", "no", where)
    assert (found.check, found.outcome) == ("name", "supported")
    assert await outcome("Is there a step Wait?", "yes", where) == "contradicted"
    # OCR misses single letters.
    assert await outcome("Is there a step W?", "no", where) == "unknown"


async def test_a_code_a_time_and_a_price_are_located_by_what_they_look_like() -> None:
    lines = [("ID: HS-40", LEFT), ("12:30", RIGHT)]
    where = scene({}, lines)
    assert await outcome("Where is the part number?", "the part number", where, LEFT) == "supported"
    assert await outcome("商品编号在哪里？", "商品编号", where, RIGHT) == "contradicted"
    assert await outcome("Where is the clock?", "the clock", where, RIGHT) == "supported"


async def test_a_box_is_around_the_name_in_it() -> None:
    where = scene({}, [("Begin", (0.4, 0.45, 0.6, 0.55))])
    around = (0.35, 0.35, 0.65, 0.65)
    assert await outcome("Where is the box Begin?", "the box Begin", where, around) == "supported"
    whole = (0.0, 0.0, 1.0, 1.0)
    assert await outcome("Where is the box Begin?", "the box Begin", where, whole) == "unknown"
