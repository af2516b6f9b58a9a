"""Tests of drawing: boxes around their content, readable labels, linear work."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFont

from sightline.storage.ingest.decode.render.drawing import PALETTE, draw
from sightline.storage.ingest.decode.render.fonts import label_font
from sightline.storage.ingest.decode.render.labels import label_writer, place_labels, text_runs
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def changed(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(before, after).getbbox()
    assert box is not None
    return box


def test_a_box_is_drawn_around_its_content_in_the_color_of_its_label() -> None:
    gray = Image.new("RGB", (400, 300), (128, 128, 128))
    drawn = draw(gray, [BoxOverlay((0.25, 0.5, 0.75, 0.9), "van")])
    for point in ((98, 200), (302, 200), (200, 272)):
        assert drawn.getpixel(point) == rgb(PALETTE[0]), point
    for point in ((101, 200), (299, 200), (200, 269), (200, 152)):
        assert drawn.getpixel(point) == (128, 128, 128)
    assert gray.getpixel((100, 200)) == (128, 128, 128)


def test_a_label_has_the_color_of_its_box() -> None:
    blank = Image.new("RGB", (400, 300))
    for number, label in enumerate(("cat", "dog")):
        overlays = [
            BoxOverlay((0.1, 0.2, 0.4, 0.5), "cat"),
            BoxOverlay((0.5, 0.6, 0.9, 0.9), "dog"),
        ]
        drawn = draw(blank, overlays)
        x, y = (38, 50) if label == "cat" else (198, 170)
        assert drawn.getpixel((x, y)) == rgb(PALETTE[number])


@pytest.mark.parametrize(
    "label",
    [
        "кот и собака",
        "고양이",
        "ねこカタカナ",
        "قطة",
        "แมว",
        "חתול",
        "बिल्ली",
        "😀🚗",
        "發票",
        "Ωμέγα",
        "Łódź",
    ],
)
def test_labels_of_all_scripts_have_their_letters(label: str) -> None:
    """A character without a glyph is a box that is the same for all of them."""
    with label_writer([label], 40) as writer:
        for run in text_runs(label):
            for character in run.text.replace(" ", ""):
                with label_font(run.font) as path:
                    font = ImageFont.truetype(str(path), 40)
                assert font.getmask(character).getbbox() is not None or ord(character) > 0x300
                assert bytes(font.getmask(character)) != bytes(font.getmask("\U0010fffd"))
        assert writer.width(label) > 30


def test_arabic_letters_are_joined() -> None:
    with label_writer(["قطة"], 40) as writer:
        assert writer.width("قطة") < 0.9 * sum(map(writer.width, "قطة"))


@pytest.mark.parametrize(
    "label", ["a label of sixty characters that has no room " + "x" * 15, "발" * 60]
)
@pytest.mark.parametrize("box", [(0.0, 0.0, 0.2, 0.2), (0.9, 0.4, 1.0, 0.6), (0.2, 0.95, 0.4, 1.0)])
def test_a_long_label_stays_inside_the_picture(
    label: str, box: tuple[float, float, float, float]
) -> None:
    size = (300, 200)
    with label_writer([label], 14) as writer:
        lines = writer.lines(label, size[0])
        corners = np.array([box], np.float32) * np.array([*size, *size], np.float32)
        (placed,) = place_labels(
            corners, np.array([writer.size(lines)], np.float32), size, spread=True
        )
        assert all(writer.width(line) <= size[0] - 2 * writer.padding for line in lines)
    assert placed.min() >= 0
    assert placed[2] < size[0]
    assert placed[3] < size[1]
    shown = "".join(lines).replace(" ", "")
    assert shown.endswith("…") or shown == label.replace(" ", "")


def test_chinese_letters_are_in_the_font_of_labels() -> None:
    blank = Image.new("RGB", (400, 300))
    van, lorry, missing = (
        draw(blank, [BoxOverlay((0.3, 0.5, 0.7, 0.9), label)])
        for label in ("白", "货", "\U0002070e")
    )
    assert changed(van, lorry)
    assert changed(van, missing)


@pytest.mark.parametrize(("count", "is_spread"), [(50, True), (51, False), (210, False)])
def test_only_few_labels_are_moved_apart_which_is_quadratic(count: int, is_spread: bool) -> None:
    blank = Image.new("RGB", (800, 800))
    boxes = [BoxOverlay((0.4, 0.4, 0.6, 0.6), f"part {n}") for n in range(count)]
    _, top, _, bottom = changed(blank, draw(blank, boxes))
    assert (bottom - top > 250) is is_spread


@pytest.mark.parametrize("place", [(200, 150), (0, 0), (380, 280)])
def test_labels_in_one_place_do_not_hide_each_other(place: tuple[int, int]) -> None:
    corners = np.array([[*place, place[0] + 20, place[1] + 20]] * 8, np.float32)
    sizes = np.array([(60, 16)] * 8, np.float32)
    boxes = place_labels(corners, sizes, (400, 300), spread=True)
    assert boxes.min() >= 0
    assert (boxes[:, 2:] < (400, 300)).all()
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert (np.minimum(one[2:], other[2:]) <= np.maximum(one[:2], other[:2])).any()


@pytest.mark.parametrize("style", ["box", "corners"])
def test_lines_leave_the_content_of_a_box_as_it_is(style: Style) -> None:
    gray = Image.new("RGB", (400, 300), (128, 128, 128))
    drawn = draw(gray, [BoxOverlay((0.25, 0.5, 0.75, 0.9), "")], style=style)
    content = (100, 150, 300, 270)
    assert ImageChops.difference(drawn, gray).crop(content).getbbox() is None
    assert changed(drawn, gray) == (97, 147, 303, 273)


def test_corners_of_a_small_box_are_not_closed() -> None:
    gray = Image.new("RGB", (400, 300), (128, 128, 128))
    drawn = draw(gray, [BoxOverlay((0.5, 0.5, 0.55, 0.56), "")], style="corners")
    assert drawn.getpixel((198, 148)) == rgb(PALETTE[0])
    assert drawn.getpixel((210, 148)) == (128, 128, 128)


def test_a_shade_lets_the_picture_through() -> None:
    gray = Image.new("RGB", (400, 300), (128, 128, 128))
    drawn = draw(gray, [BoxOverlay((0.25, 0.5, 0.75, 0.9), "")], style="shade")
    assert changed(drawn, gray) == (100, 150, 300, 270)
    expected = [round(128 + 0.35 * (each - 128)) for each in rgb(PALETTE[0])]
    assert drawn.getpixel((200, 200)) == pytest.approx(tuple(expected), abs=1)


def test_many_labels_at_the_upper_edge_are_inside_the_image() -> None:
    blank = Image.new("RGB", (1600, 1600))
    boxes = [BoxOverlay((n / 60, 0.0, (n + 0.9) / 60, 1.0), "x") for n in range(60)]
    labeled, unlabeled = (
        draw(blank, [box._replace(label=label) for box in boxes]) for label in ("W", "")
    )
    assert changed(labeled, unlabeled)
