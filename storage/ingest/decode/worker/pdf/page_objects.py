"""Find the pictures of a page, and which text lies under one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium

from sightline.storage.ingest.decode.worker.pdf.characters import PageFrame
from sightline.storage.types import Box

_MAX_OBJECTS = 20_000
_MAX_DEPTH = 4
_MAX_PICTURES = 500
_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)

_Matrix = tuple[float, float, float, float, float, float]


class PagePicture(NamedTuple):
    """A picture of a page: its box in points, and its place in the drawing order."""

    box: Box
    order: int
    opaque: bool


@dataclass(slots=True)
class PageObjects:
    """Pictures in drawing order, and the places of text objects in it, by address."""

    pictures: list[PagePicture] = field(default_factory=list)
    text_order: dict[int, int] = field(default_factory=dict)

    def covers(self, address: int, x: float, y: float) -> bool:
        """Return whether a picture is drawn over a point of a text object."""
        order = self.text_order.get(address)
        return order is not None and any(
            each.order > order
            and each.opaque
            and each.box[0] <= x <= each.box[2]
            and each.box[1] <= y <= each.box[3]
            for each in self.pictures
        )

    def covered_share(self, frame: PageFrame, columns: int = 24, rows: int = 32) -> float:
        """Return which share of the page pictures cover."""
        inside = 0
        for row in range(rows):
            y = (row + 0.5) / rows * frame.height
            spans = [each.box for each in self.pictures if each.box[1] <= y <= each.box[3]]
            for column in range(columns):
                x = (column + 0.5) / columns * frame.width
                inside += any(box[0] <= x <= box[2] for box in spans)
        return inside / (columns * rows)


def read_objects(page: pypdfium2.PdfPage, frame: PageFrame) -> PageObjects:
    """Return the pictures of a page and the order of its texts.

    Looks at 20,000 objects at most.
    """
    found = PageObjects()
    for order, (kind, address, matrix) in enumerate(_walk(page)):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            found.text_order[address] = order
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE and len(found.pictures) < _MAX_PICTURES:
            page_object = ctypes.cast(address, pdfium.FPDF_PAGEOBJECT)
            box = _visible_box(page_object, matrix, frame)
            if box is not None:
                opaque = pdfium.FPDFPageObj_HasTransparency(page_object) != 1
                found.pictures.append(PagePicture(box, order, opaque))
    return found


def _walk(page: pypdfium2.PdfPage) -> Iterator[tuple[int, int, _Matrix]]:
    """Yield type, address and matrix of objects in drawing order, those of forms too."""
    left = _MAX_OBJECTS
    raw = page.raw
    count = pdfium.FPDFPage_CountObjects(raw)
    stack = [(None, 0, count, _IDENTITY)]
    while stack and left > 0:
        form, index, count, matrix = stack.pop()
        if index >= count:
            continue
        stack.append((form, index + 1, count, matrix))
        left -= 1
        page_object = (
            pdfium.FPDFPage_GetObject(raw, index)
            if form is None
            else pdfium.FPDFFormObj_GetObject(form, index)
        )
        kind = pdfium.FPDFPageObj_GetType(page_object)
        if kind == pdfium.FPDF_PAGEOBJ_FORM:
            if len(stack) <= _MAX_DEPTH:
                own = pdfium.FS_MATRIX()
                pdfium.FPDFPageObj_GetMatrix(page_object, ctypes.byref(own))
                inner = _multiplied((own.a, own.b, own.c, own.d, own.e, own.f), matrix)
                stack.append((page_object, 0, pdfium.FPDFFormObj_CountObjects(page_object), inner))
        else:
            yield kind, ctypes.cast(page_object, ctypes.c_void_p).value or 0, matrix


def _multiplied(first: _Matrix, second: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    g, h, i, j, k, l = second  # noqa: E741
    return (
        a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j,
        e * g + f * i + k, e * h + f * j + l,
    )  # fmt: skip


def _visible_box(page_object: object, matrix: _Matrix, frame: PageFrame) -> Box | None:
    """Return the part of an object on the page, None if there is none."""
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    edges = (left, bottom, right, top)
    if not pdfium.FPDFPageObj_GetBounds(page_object, *map(ctypes.byref, edges)):
        return None
    a, b, c, d, e, f = matrix
    corners = [
        frame.point(a * x + c * y + e, b * x + d * y + f)
        for x in (left.value, right.value)
        for y in (bottom.value, top.value)
    ]
    x0, x1 = (max(0.0, min(p[0] for p in corners)), min(frame.width, max(p[0] for p in corners)))
    y0, y1 = (max(0.0, min(p[1] for p in corners)), min(frame.height, max(p[1] for p in corners)))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
