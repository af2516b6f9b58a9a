"""Read the characters of a page with their places, sizes and directions.

All coordinates are points of the page as it is shown: origin top left, y down.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from sightline.storage.types import Box

Direction = Literal["right", "down", "left", "up", "slanted"]
_DIRECTIONS: tuple[Direction, ...] = ("right", "down", "left", "up")

_REPLACED = {0x00: "\ufffd", 0x02: "-", 0xFFFE: "-", 0x2010: "-", 0x2011: "-"}
_LIGATURES = dict(
    zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)
)
_SPACES = frozenset(
    {*b" \t\r\n\f\v", 0xA0, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, *range(0x2000, 0x200B)}
)
_DEVICE_UNITS = 10_000_000
_SLANT = math.radians(8)
_INVISIBLE_MODES = (
    pdfium.FPDF_TEXTRENDERMODE_INVISIBLE,
    pdfium.FPDF_TEXTRENDERMODE_CLIP,
)
_MIN_POINTS, _MAX_POINTS = 0.1, 1e5


class Character(NamedTuple):
    """A character, or the letters of a ligature. Its box is as wide as its advance.

    ``x`` and ``y`` are its origin on the baseline. ``size`` is that of the font as shown.
    ``run`` numbers the text object, and ``breaks`` tells that a space in the file is before it.
    ``invisible``: nothing is drawn for it, or a picture over it. ``unknown``: the font does not
    say which character it is.
    """

    text: str
    box: Box
    x: float
    y: float
    size: float
    direction: Direction
    run: int
    breaks: bool
    invisible: bool
    unknown: bool


@dataclass(frozen=True, slots=True)
class PageFrame:
    """Converts coordinates of the file to those of the page as it is shown, in points."""

    width: float
    height: float
    _x: tuple[float, float, float]
    _y: tuple[float, float, float]

    @classmethod
    def of(cls, page: pypdfium2.PdfPage, width: float, height: float) -> PageFrame:
        """Return the frame of a page that is shown with this size."""
        span = max(width, height)
        origin, right, up = (_to_device(page, *point) for point in ((0, 0), (span, 0), (0, span)))
        scale_x, scale_y = width / _DEVICE_UNITS, height / _DEVICE_UNITS
        (x, y), (x_right, y_right), (x_up, y_up) = origin, right, up
        return cls(
            width,
            height,
            ((x_right - x) * scale_x / span, (x_up - x) * scale_x / span, x * scale_x),
            ((y_right - y) * scale_y / span, (y_up - y) * scale_y / span, y * scale_y),
        )

    def point(self, x: float, y: float) -> tuple[float, float]:
        a, b, c = self._x
        d, e, f = self._y
        return a * x + b * y + c, d * x + e * y + f

    def vector(self, x: float, y: float) -> tuple[float, float]:
        return self._x[0] * x + self._x[1] * y, self._y[0] * x + self._y[1] * y

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        x0, y0 = self.point(left, bottom)
        x1, y1 = self.point(right, top)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def normalized(self, box: Box) -> Box:
        """Convert points to 0..1 of the page."""
        x0, y0, x1, y1 = box
        return x0 / self.width, y0 / self.height, x1 / self.width, y1 / self.height


class _Run(NamedTuple):
    number: int
    size: float
    direction: Direction
    invisible: bool


def read_characters(
    page: pypdfium2.PdfPage,
    frame: PageFrame,
    max_chars: int,
    covers: Callable[[int, float, float], bool],
) -> Iterator[Character]:
    """Yield the characters inside the visible page, in file order.

    At most ``max_chars``. ``covers`` tells whether something is drawn over a point of a text
    object, by its address. Spaces are not yielded; see ``Character.breaks``.
    """
    textpage = page.get_textpage()
    try:
        yield from _characters(textpage, frame, max_chars, covers)
    finally:
        textpage.close()


def _characters(
    textpage: pypdfium2.PdfTextPage,
    frame: PageFrame,
    max_chars: int,
    covers: Callable[[int, float, float], bool],
) -> Iterator[Character]:
    raw = textpage.raw
    runs: dict[int, _Run] = {}
    loose, x, y = pdfium.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    rect, at_x, at_y = ctypes.byref(loose), ctypes.byref(x), ctypes.byref(y)
    get_unicode, get_box = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetLooseCharBox
    get_origin, get_object = pdfium.FPDFText_GetCharOrigin, pdfium.FPDFText_GetTextObject
    cast, pointer = ctypes.cast, ctypes.c_void_p
    breaks = False
    high = 0
    last: Character | None = None
    for index in range(min(pdfium.FPDFText_CountChars(raw), max_chars)):
        code = get_unicode(raw, index)
        if code in _SPACES:
            # pdfium also makes up spaces; the distances say where they are.
            breaks = breaks or pdfium.FPDFText_IsGenerated(raw, index) != 1
            continue
        if 0xD800 <= code < 0xDC00:
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            if not high:
                continue
            code, high = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00, 0
        address = cast(get_object(raw, index), pointer).value or 0
        run = runs.get(address)
        if run is None:
            run = runs[address] = _read_run(raw, index, address, len(runs), frame)
        if not get_box(raw, index, rect) or not get_origin(raw, index, at_x, at_y):
            continue
        box = frame.box(loose.left, loose.bottom, loose.right, loose.top)
        middle_x, middle_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not (0 <= middle_x <= frame.width and 0 <= middle_y <= frame.height):
            continue
        at = frame.point(x.value, y.value)
        text = _REPLACED.get(code) or _LIGATURES.get(code) or chr(code)
        unknown = code == 0 or pdfium.FPDFText_HasUnicodeMapError(raw, index) == 1
        if last is not None and (last.run, last.x, last.y, last.box) == (run.number, *at, box):
            last = last._replace(text=last.text + text)  # a ligature
            continue
        if last is not None:
            yield last
        last = Character(
            text,
            box,
            *at,
            run.size,
            run.direction,
            run.number,
            breaks,
            run.invisible or covers(address, middle_x, middle_y),
            unknown,
        )
        breaks = False
    if last is not None:
        yield last


def _read_run(raw: object, index: int, address: int, number: int, frame: PageFrame) -> _Run:
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFText_GetMatrix(raw, index, ctypes.byref(matrix))
    along = frame.vector(matrix.a, matrix.b)
    across = frame.vector(matrix.c, matrix.d)
    size = pdfium.FPDFText_GetFontSize(raw, index) * math.hypot(*across)
    angle = math.atan2(along[1], along[0])
    turn = angle / (math.pi / 2)
    direction: Direction = "slanted"
    if abs(turn - round(turn)) * math.pi / 2 < _SLANT:
        direction = _DIRECTIONS[round(turn) % 4]
    invisible = False
    if address:
        text_object = ctypes.cast(address, pdfium.FPDF_PAGEOBJECT)
        invisible = pdfium.FPDFTextObj_GetTextRenderMode(text_object) in _INVISIBLE_MODES
    size = min(max(abs(size), _MIN_POINTS), _MAX_POINTS)
    return _Run(number, size, direction, invisible)


def _to_device(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, _DEVICE_UNITS, _DEVICE_UNITS, 0, x, y, across, down)
    return across.value, down.value
