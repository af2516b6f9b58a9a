"""Tests of drawing: boxes around their content, readable labels, linear work."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageChops
from supervision.annotators import core

from sightline.storage.ingest.decode.render.drawing import PALETTE, BoxOverlay, draw


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def changed(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(before, after).getbbox()
    assert box is not None
    return box


def grid(count: int) -> list[BoxOverlay]:
    """Return boxes beside and below each other."""
    side = int(np.ceil(np.sqrt(count)))
    cells = [(n % side / side, n // side / side) for n in range(count)]
    return [
        BoxOverlay((x, y, x + 0.9 / side, y + 0.9 / side), f"part {n}")
        for n, (x, y) in enumerate(cells)
    ]


def test_a_box_is_drawn_around_its_content_in_the_color_of_its_label() -> None:
    gray = Image.new("RGB", (400, 300), (128, 128, 128))
    drawn = draw(gray, [BoxOverlay((0.25, 0.5, 0.75, 0.9), "van")])
    for point in ((98, 200), (302, 200), (200, 272)):
        assert drawn.getpixel(point) == rgb(PALETTE[0]), point
    for point in ((101, 200), (299, 200), (200, 269), (200, 152)):
        assert drawn.getpixel(point) == (128, 128, 128)
    assert gray.getpixel((100, 200)) == (128, 128, 128)


def test_chinese_letters_are_in_the_font_of_labels() -> None:
    blank = Image.new("RGB", (400, 300))
    van, lorry, missing = (
        draw(blank, [BoxOverlay((0.3, 0.5, 0.7, 0.9), label)])
        for label in ("白", "货", "\U0002070e")
    )
    assert changed(van, lorry)
    assert changed(van, missing)


@pytest.mark.parametrize(("count", "spread"), [(50, 1), (51, 0), (210, 0)])
def test_only_few_labels_are_moved_apart_which_is_quadratic(
    monkeypatch: pytest.MonkeyPatch, count: int, spread: int
) -> None:
    calls: list[int] = []
    original = core.spread_out_boxes

    def counted(boxes: np.ndarray, *args: object) -> object:
        calls.append(len(boxes))
        return original(boxes, *args)

    monkeypatch.setattr(core, "spread_out_boxes", counted)
    draw(Image.new("RGB", (800, 800)), grid(count))
    assert calls == [count] * spread


def test_many_labels_at_the_upper_edge_are_inside_the_image() -> None:
    blank = Image.new("RGB", (1600, 1600))
    boxes = [BoxOverlay((n / 60, 0.0, (n + 0.9) / 60, 1.0), "x") for n in range(60)]
    labeled, unlabeled = (
        draw(blank, [box._replace(label=label) for box in boxes]) for label in ("W", "")
    )
    assert changed(labeled, unlabeled)
