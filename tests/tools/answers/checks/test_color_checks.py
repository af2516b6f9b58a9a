"""The color of an object is that of most of its pixels."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from sightline.tools.answers.checks.color_checks import judge_color, object_colors
from tests.tools.answers.checks.scenes import check, outcome, scene

BOX = (0.25, 0.25, 0.75, 0.75)
PAINT = {
    "red": (200, 40, 35),
    "orange": (235, 130, 30),
    "yellow": (240, 210, 50),
    "green": (50, 150, 70),
    "blue": (40, 80, 190),
    "purple": (125, 60, 160),
    "pink": (240, 150, 180),
    "brown": (115, 75, 45),
    "white": (245, 245, 242),
    "gray": (128, 130, 133),
    "black": (25, 25, 28),
}


def painted(
    color: tuple[int, int, int], background: tuple[int, int, int] = (210, 205, 190)
) -> Image.Image:
    """A disc of one color with a dark outline and a window, on a background."""
    image = Image.new("RGB", (200, 200), background)
    draw = ImageDraw.Draw(image)
    draw.ellipse((50, 50, 150, 150), fill=color, outline=(20, 20, 20), width=3)
    draw.rectangle((85, 70, 115, 85), fill=(180, 210, 230))
    return image


@pytest.mark.parametrize("name", PAINT)
def test_an_object_has_the_name_of_its_paint(name: str) -> None:
    shares = object_colors(painted(PAINT[name]), BOX)
    assert max(shares, key=lambda each: shares[each]) == name
    assert judge_color(name, shares) == "supported"
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("name", "other"), [("red", "blue"), ("green", "red"), ("white", "red")])
def test_a_color_that_the_object_lacks_is_contradicted(name: str, other: str) -> None:
    assert judge_color(other, object_colors(painted(PAINT[name]), BOX)) == "contradicted"


@pytest.mark.parametrize(("name", "other"), [("red", "orange"), ("gray", "white")])
def test_a_neighbor_of_the_color_is_not_contradicted(name: str, other: str) -> None:
    assert judge_color(other, object_colors(painted(PAINT[name]), BOX)) == "unknown"


@pytest.mark.parametrize("name", ["red", "yellow", "blue", "green"])
def test_the_background_in_the_box_does_not_count(name: str) -> None:
    # A thin ring, so that most of the box is background.
    image = Image.new("RGB", (200, 200), (30, 90, 40) if name != "green" else (90, 30, 30))
    ImageDraw.Draw(image).ellipse((50, 50, 150, 150), outline=PAINT[name], width=22)
    assert judge_color(name, object_colors(image, BOX)) == "supported"


@pytest.mark.parametrize("dim", [0.45, 0.7])
def test_shade_does_not_contradict_a_color(dim: float) -> None:
    for name, color in PAINT.items():
        shaded = tuple(round(each * dim) for each in color)
        shares = object_colors(painted(shaded), BOX)  # type: ignore[arg-type]
        assert judge_color(name, shares) != "contradicted", name


def test_a_box_of_few_pixels_has_no_color() -> None:
    assert object_colors(painted(PAINT["red"]), (0.5, 0.5, 0.51, 0.51)) == {}


async def test_the_color_is_that_in_the_box_of_the_detector() -> None:
    image = painted(PAINT["red"])
    where = scene({"ball": [(BOX, 0.9)]}, image=image)
    assert await outcome("What colour is the ball?", "red", where) == "supported"
    assert await outcome("What colour is the ball?", "blue", where) == "contradicted"
    assert await outcome("Is the ball red?", "no", where) == "contradicted"
    assert await outcome("What is red?", "the ball", where) in ("supported", None)


async def test_the_box_of_the_claim_is_used_without_another() -> None:
    where = scene(image=painted(PAINT["red"]))
    (result,) = await check("What colour is the ball?", "red", where, BOX)
    assert (result.check, result.outcome) == ("color in claim box", "supported")
    assert await outcome("What colour is the ball?", "red", where) is None


async def test_the_colored_area_around_a_name_is_its_color_and_paper_is_not() -> None:
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).rectangle((40, 80, 160, 120), fill=PAINT["purple"])
    where = scene(lines=[("Pack", (0.4, 0.45, 0.6, 0.55))], image=image)
    assert await outcome("What colour is Pack?", "purple", where) == "supported"
    assert await outcome("What colour is Pack?", "green", where) == "contradicted"
    paper = scene(lines=[("Pack", (0.4, 0.1, 0.6, 0.2))], image=image)
    assert await outcome("What colour is Pack?", "purple", paper) is None


async def test_the_ground_has_the_color_of_the_edge_of_a_drawing() -> None:
    image = painted(PAINT["red"], background=PAINT["yellow"])
    where = scene(image=image)
    assert await outcome("What is it drawn on?", "yellow paper", where) == "supported"
    assert await outcome("What is it drawn on?", "blue paper", where) == "contradicted"
    assert await outcome("What colour is the card?", "yellow", where) == "supported"
    assert (
        await outcome("What colour is the card?", "yellow", scene(image=image, drawn=False)) is None
    )


async def test_an_object_with_the_claimed_color_supports_it() -> None:
    boxes = {"star": [(BOX, 0.5)], "red star": [(BOX, 0.9)]}
    assert await outcome("What shape is red?", "star", scene(boxes)) in ("supported", None)
    assert await outcome("Is the star red?", "yes", scene(boxes)) == "supported"
    assert (
        await outcome("五角星是什么颜色？", "红色", scene({"红色五角星": [(BOX, 0.9)]}))
        == "supported"
    )
    assert await outcome("Is the star blue?", "yes", scene(boxes)) is None
