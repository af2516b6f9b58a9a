"""Draw numbered thumbnails of hits as one JPEG, which costs a model one image."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.fonts import label_font
from sightline.storage.retrieval.search_types import ImageHit
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.images import EncodedImage, decode_upright, encode

#: Vision models reduce larger images, and then the numbers get small.
MAX_SHEET_EDGE_PIXELS: Final = 1568
_MAX_CELLS: Final = 50
#: The size of thumbnails.
_MAX_CELL_PIXELS: Final = 256
_MAX_THUMBNAIL_PIXELS: Final = 1 << 20
_GAP_PIXELS: Final = 4
#: Height of the strip with the number, as a share of the width of a cell.
_STRIP_SHARE: Final = 0.14
_BACKGROUND: Final = "white"
_BEHIND: Final = (232, 232, 232)
_INK: Final = (0, 0, 0)
_WEAK_INK: Final = (150, 150, 150)
#: How much of a weak hit is left.
_WEAK_OPACITY: Final = 0.35


class SheetCell(NamedTuple):
    """A thumbnail as JPEG (None: there is none), its number, and if it is weak."""

    number: int
    thumbnail: bytes | None
    weak: bool = False


class Grid(NamedTuple):
    """Columns, rows, and the edge of a square cell without its strip, in pixels."""

    columns: int
    rows: int
    edge: int

    @property
    def strip(self) -> int:
        return round(self.edge * _STRIP_SHARE)

    @property
    def size(self) -> tuple[int, int]:
        across = self.columns * (self.edge + _GAP_PIXELS) + _GAP_PIXELS
        down = self.rows * (self.edge + self.strip + _GAP_PIXELS) + _GAP_PIXELS
        return across, down


async def draw_contact_sheet(
    deps: Dependencies, hits: Sequence[ImageHit], thumbnails: Mapping[str, bytes]
) -> EncodedImage:
    """Return the thumbnails of up to 50 hits with their numbers; weak hits are pale.

    ``thumbnails`` are JPEGs by asset id. Raises MediaError.
    """
    cells = [
        SheetCell(number, thumbnails.get(hit.asset.id), hit.weak)
        for number, hit in enumerate(hits, 1)
    ]
    return await asyncio.to_thread(draw_cells, cells, max_bytes=deps.limits.max_inline_bytes)


def draw_cells(cells: Sequence[SheetCell], *, max_bytes: int) -> EncodedImage:
    """Return a JPEG of the cells, row by row. Raises MediaError.

    A cell whose thumbnail is missing or broken has its number only.
    """
    shown = cells[:_MAX_CELLS]
    grid = choose_grid(len(shown))
    sheet = Image.new("RGB", grid.size, _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    with label_font() as path:
        font = ImageFont.truetype(str(path), max(12, grid.strip - 6))
    for place, cell in enumerate(shown):
        row, column = divmod(place, grid.columns)
        left = _GAP_PIXELS + column * (grid.edge + _GAP_PIXELS)
        top = _GAP_PIXELS + row * (grid.edge + grid.strip + _GAP_PIXELS)
        ink = _WEAK_INK if cell.weak else _INK
        pen.text((left, top + grid.strip / 2), f"[{cell.number}]", ink, font, anchor="lm")
        sheet.paste(_cell_picture(cell, grid.edge), (left, top + grid.strip))
    return encode(sheet, max_edge=MAX_SHEET_EDGE_PIXELS, max_bytes=max_bytes)


def choose_grid(count: int) -> Grid:
    """Return the grid for ``count`` cells that has the largest cells, then the fewest.

    Its longer edge is at most `MAX_SHEET_EDGE_PIXELS`.
    """
    grids = []
    for columns in range(1, max(1, count) + 1):
        rows = math.ceil(max(1, count) / columns)
        across = (MAX_SHEET_EDGE_PIXELS - _GAP_PIXELS) // columns - _GAP_PIXELS
        down = (MAX_SHEET_EDGE_PIXELS - _GAP_PIXELS) // rows - _GAP_PIXELS
        edge = min(_MAX_CELL_PIXELS, across, int((down - 1) / (1 + _STRIP_SHARE)))
        grids.append(Grid(columns, rows, edge))
    return max(grids, key=lambda grid: (grid.edge, -grid.columns * grid.rows, -max(grid.size)))


def _cell_picture(cell: SheetCell, edge: int) -> Image.Image:
    """Return the thumbnail in a square, reduced if needed, with bars beside it."""
    square = Image.new("RGB", (edge, edge), _BEHIND)
    if cell.thumbnail is None:
        return square
    try:
        picture = decode_upright(cell.thumbnail, max_pixels=_MAX_THUMBNAIL_PIXELS, edge=edge)
    except MediaError:
        return square
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    if cell.weak:
        white = Image.new("RGB", picture.size, _BACKGROUND)
        picture = Image.blend(white, picture, _WEAK_OPACITY)
    square.paste(picture, ((edge - picture.width) // 2, (edge - picture.height) // 2))
    return square
