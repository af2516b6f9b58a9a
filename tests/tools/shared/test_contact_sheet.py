"""A contact sheet shows every hit with its number, in one picture of limited size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sightline.tools.shared.contact_sheet import (
    MAX_SHEET_EDGE_PIXELS,
    SheetCell,
    choose_grid,
    draw_cells,
)
from tests.support.sample_images import encoded, picture
from tests.tools.toolbox import is_near_color

MAX_BYTES = 700_000
RED = (200, 30, 30)


def thumbnail(size: tuple[int, int] = (256, 171), color: tuple[int, int, int] = RED) -> bytes:
    return encoded(Image.new("RGB", size, color), quality=95)


def drawn(cells: list[SheetCell], max_bytes: int = MAX_BYTES) -> Image.Image:
    sheet = draw_cells(cells, max_bytes=max_bytes)
    assert len(sheet.data) <= max_bytes
    image = Image.open(io.BytesIO(sheet.data))
    assert image.format == "JPEG"
    assert image.size == (sheet.width, sheet.height)
    return image.convert("RGB")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 10, 20, 30, 37, 50])
def test_the_cells_are_as_large_as_the_sheet_permits(count: int) -> None:
    grid = choose_grid(count)
    assert grid.columns * grid.rows >= count
    assert grid.columns * (grid.rows - 1) < count
    assert max(grid.size) <= MAX_SHEET_EDGE_PIXELS
    assert grid.edge >= (256 if count <= 30 else 180)
    assert grid.strip >= 24


def test_every_thumbnail_is_whole_and_in_its_place() -> None:
    colors = [(200, 30, 30), (30, 160, 30), (30, 30, 200), (200, 180, 30), (120, 30, 160)]
    sizes = [(256, 128), (128, 256), (256, 256), (60, 40), (256, 10)]
    cells = [
        SheetCell(number, thumbnail(size, color))
        for number, (size, color) in enumerate(zip(sizes, colors, strict=True), 1)
    ]
    sheet, grid = drawn(cells), choose_grid(5)
    for place, (size, color) in enumerate(zip(sizes, colors, strict=True)):
        row, column = divmod(place, grid.columns)
        left = 4 + column * (grid.edge + 4)
        top = 4 + row * (grid.edge + grid.strip + 4) + grid.strip
        cell = sheet.crop((left, top, left + grid.edge, top + grid.edge))
        middle = grid.edge // 2
        assert is_near_color(cell.getpixel((middle, middle)), color)
        x, y = (grid.edge - size[0]) // 2, (grid.edge - size[1]) // 2
        assert is_near_color(cell.getpixel((x + 3, y + 3)), color)
        if min(size) < 250:  # a bar beside it
            assert is_near_color(cell.getpixel((2, 2)), (232, 232, 232))


def test_the_numbers_differ_and_are_dark_on_white() -> None:
    cells = [SheetCell(number, thumbnail()) for number in range(1, 51)]
    sheet, grid = drawn(cells), choose_grid(50)
    strips = []
    for place in range(50):
        row, column = divmod(place, grid.columns)
        left, top = 4 + column * (grid.edge + 4), 4 + row * (grid.edge + grid.strip + 4)
        strip = sheet.crop((left, top, left + grid.edge, top + grid.strip)).convert("L")
        assert strip.getextrema()[0] < 60
        strips.append((np.asarray(strip) < 128).tobytes())
    assert len(set(strips)) == 50


def test_weak_hits_are_pale() -> None:
    cells = [SheetCell(1, thumbnail()), SheetCell(2, thumbnail(), weak=True)]
    sheet, grid = drawn(cells), choose_grid(2)
    middle = 4 + grid.strip + grid.edge // 2
    strong = sheet.getpixel((4 + grid.edge // 2, middle))
    weak = sheet.getpixel((sheet.width - 4 - grid.edge // 2, middle))
    assert is_near_color(strong, RED)
    assert is_near_color(weak, (236, 176, 176))


def test_a_missing_or_broken_thumbnail_leaves_its_number() -> None:
    cells = [SheetCell(1, None), SheetCell(2, b"\xff\xd8 not a picture"), SheetCell(3, thumbnail())]
    sheet = drawn(cells)
    assert sheet.size == choose_grid(3).size


def test_a_sheet_with_much_detail_stays_within_the_bytes() -> None:
    noise = Image.effect_noise((256, 256), 100).convert("RGB")
    cells = [SheetCell(number, encoded(noise, quality=95)) for number in range(1, 51)]
    sheet = drawn(cells, max_bytes=150_000)
    assert max(sheet.size) <= MAX_SHEET_EDGE_PIXELS


def test_no_more_than_fifty_hits_are_drawn() -> None:
    cells = [SheetCell(number, encoded(picture(number))) for number in range(1, 80)]
    assert drawn(cells).size == choose_grid(50).size
