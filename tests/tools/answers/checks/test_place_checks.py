"""Relations and comparisons are checked with the boxes of both objects."""

from __future__ import annotations

import pytest

from sightline.storage.types import Box
from sightline.tools.answers.checks.place_checks import is_related
from sightline.tools.answers.statements.statement_types import Relation
from tests.tools.answers.checks.scenes import LEFT, RIGHT, check, outcome, scene

UPPER, LOWER = (0.4, 0.1, 0.6, 0.3), (0.4, 0.6, 0.6, 0.9)


@pytest.mark.parametrize(
    ("a", "b", "relation", "expected"),
    [
        (LEFT, RIGHT, "left", True),
        (RIGHT, LEFT, "left", False),
        (LEFT, RIGHT, "right", False),
        (UPPER, LOWER, "above", True),
        (LOWER, UPPER, "below", True),
        (UPPER, LOWER, "below", False),
        # Nearly the same column: neither left nor right.
        (UPPER, LOWER, "left", None),
        ((0.2, 0.2, 0.4, 0.4), (0.1, 0.1, 0.9, 0.9), "inside", True),
        ((0.1, 0.1, 0.9, 0.9), (0.2, 0.2, 0.4, 0.4), "inside", False),
        (LEFT, RIGHT, "inside", False),
        ((0.1, 0.4, 0.3, 0.6), (0.32, 0.4, 0.5, 0.6), "beside", True),
        (LEFT, RIGHT, "beside", None),
    ],
)
def test_the_relation_of_two_boxes(
    a: Box, b: Box, relation: Relation, expected: bool | None
) -> None:
    assert is_related(a, b, relation) is expected


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("Is the van left of the bus?", "yes", "supported"),
        ("Is the van left of the bus?", "no", "contradicted"),
        ("Is the van right of the bus?", "yes", "contradicted"),
        ("What is left of the bus?", "the van", "supported"),
        ("What is right of the bus?", "the van", "contradicted"),
        ("Is the van above or below the bus?", "above", "unknown"),
        ("On which side of the bus is the van?", "left", "supported"),
        ("面包车在公共汽车的左边吗？", "是", "supported"),
        # There is no bicycle, so its place is not known.
        ("What is left of the bus?", "the bicycle", "unknown"),
    ],
)
async def test_a_relation_is_checked(question: str, claim: str, expected: str) -> None:
    boxes = {"van": [(LEFT, 0.9)], "bus": [(RIGHT, 0.9)]}
    boxes |= {"面包车": boxes["van"], "公共汽车": boxes["bus"]}
    assert await outcome(question, claim, scene(boxes)) == expected


async def test_each_of_several_candidates_must_have_the_relation() -> None:
    right_of_bus: Box = (0.85, 0.4, 0.95, 0.6)
    boxes = {"van": [(LEFT, 0.9), (UPPER, 0.9)], "bus": [(RIGHT, 0.9)]}
    assert await outcome("Is the van left of the bus?", "yes", scene(boxes)) == "supported"
    assert await outcome("Is the van left of the bus?", "no", scene(boxes)) == "contradicted"
    boxes["van"] = [(LEFT, 0.9), (right_of_bus, 0.5)]
    assert await outcome("Is the van left of the bus?", "yes", scene(boxes)) == "unknown"


async def test_what_is_nearest_is_only_likely_by_its_box() -> None:
    where = scene({"van": [(LEFT, 0.9)], "bus": [(RIGHT, 0.9)]})
    (found,) = await check("What is just left of the bus?", "the van", where)
    assert (found.check, found.outcome) == ("neighbor", "supported")
    (found,) = await check("What is just right of the bus?", "the van", where)
    assert (found.check, found.outcome) == ("relation", "contradicted")


async def test_written_names_have_places() -> None:
    where = scene(lines=[("L3", UPPER), ("L4", LOWER), ("$ 15.00", RIGHT)])
    assert await outcome("Which is lower, L3 or L4?", "L4", where) == "supported"
    assert await outcome("Which is lower, L3 or L4?", "L3", where) == "contradicted"
    boxes = {"mug": [(LEFT, 0.9)]}
    where = scene(boxes, [("$ 15.00", RIGHT)])
    assert await outcome("Is the mug left of the price?", "yes", where) == "supported"


@pytest.mark.parametrize(
    ("question", "claim", "expected"),
    [
        ("Which is taller, the lamp or the oven?", "lamp", "supported"),
        ("Which is taller, the lamp or the oven?", "oven", "contradicted"),
        ("Which is smaller, the lamp or the oven?", "lamp", "supported"),
        ("Is the oven wider than the lamp?", "yes", "supported"),
        ("Is the oven wider than the lamp?", "no", "contradicted"),
        ("Which is taller, the lamp or the sofa?", "lamp", "unknown"),
    ],
)
async def test_sizes_are_those_of_the_boxes(question: str, claim: str, expected: str) -> None:
    boxes = {
        "lamp": [((0.1, 0.1, 0.2, 0.9), 0.9)],
        "oven": [((0.4, 0.5, 0.8, 0.9), 0.9)],
        "sofa": [((0.2, 0.1, 0.9, 0.91), 0.9)],
    }
    assert await outcome(question, claim, scene(boxes)) == expected


@pytest.mark.parametrize(
    ("vans", "buses", "claim", "expected"),
    [
        (2, 1, "yes", "supported"),
        (2, 1, "no", "contradicted"),
        (1, 1, "yes", "contradicted"),
        (1, 2, "no", "supported"),
        (0, 1, "yes", "contradicted"),
    ],
)
async def test_more_of_one_than_of_another(
    vans: int, buses: int, claim: str, expected: str
) -> None:
    places = (LEFT, RIGHT, UPPER)
    boxes = {
        "van": [(box, 0.9) for box in places[:vans]],
        "bus": [(box, 0.9) for box in places[:buses]],
    }
    assert await outcome("Are there more vans than buses?", claim, scene(boxes)) == expected
