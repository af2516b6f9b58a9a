"""Pages of a PDF: each rendered once, with its text layer or, where it has none, read."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.image import made_picture
from sightline.storage.ingest.decode.worker.tile_cutter import tile_parts
from sightline.storage.ingest.decode.worker.worker_context import (
    Frame,
    Limits,
    Tools,
    Wanted,
    lines_part,
    picture_part,
    problem_part,
    read_parts,
)
from sightline.storage.interfaces import OcrLine

_POINTS_PER_INCH = 72
_JPEG_QUALITY = 88
_LEAST_TEXT = 8  # characters: a page number alone is no text layer
_MOST_LINES = 5000
_GRID = 100_000  # steps to a page's edge


def read_pdf(data: bytes, tools: Tools, wanted: Wanted) -> Iterator[Frame]:
    """Parts of every page. One that is broken is a problem; if all are, MediaError.

    ``look_only`` gives the tiles, and what is read in pages without a text layer, and nothing else.
    """
    document = _open(data)
    try:
        count = len(document)
        if count == 0:
            raise MediaError("broken", "has no pages")
        if count > tools.limits.max_pages:
            limit = f"the limit is {tools.limits.max_pages:,}"
            raise MediaError("too_many_pages", f"has {count:,} pages; {limit}")
        broken = 0
        for index in range(count):
            try:
                yield from _page(document, index, tools, wanted)
            except (pypdfium2.PdfiumError, MediaError, ValueError, OSError) as error:
                broken += 1
                yield problem_part("page_broken", f"page {index + 1}: {error}")
        if broken == count:
            raise MediaError("broken", f"has {count} pages and none of them can be rendered")
    finally:
        document.close()


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD or "assword" in str(error):
            raise MediaError("encrypted", "is a PDF that wants a password") from error
        raise MediaError("broken", f"is not a PDF that can be read: {error}") from error


def _page(
    document: pypdfium2.PdfDocument, index: int, tools: Tools, wanted: Wanted
) -> Iterator[Frame]:
    page = document[index]
    try:
        where = {"on": index, "page": index + 1}
        lines = list(_text_layer(page))
        written = sum(len(line.text.strip()) for line in lines) >= _LEAST_TEXT
        if wanted.look_only and written and not wanted.tiles:
            return
        started = time.perf_counter()
        image = _rendered(page, tools.limits)
        spent = time.perf_counter() - started
        tools.spent["render"] = tools.spent.get("render", 0.0) + spent
        if not wanted.look_only:
            content = io.BytesIO()
            image.save(content, "JPEG", quality=_JPEG_QUALITY)
            said = {"kind": "page", "ordinal": index, "page": index + 1}
            picture = made_picture(image, tools.preprocess)
            yield picture_part(picture, content.getvalue(), **said)
            if lines:
                yield lines_part("page_text", lines, **where)
        if wanted.tiles:
            yield from tile_parts(image, index, tools.preprocess)
        if not written:
            yield from read_parts(image, tools, wanted, **where)
    finally:
        page.close()


def _rendered(page: pypdfium2.PdfPage, limits: Limits) -> Image.Image:
    """RGB at the resolution of the limits, or less where that would be too many pixels."""
    width, height = page.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise MediaError("broken", f"is {width} x {height} points large")
    scale = min(limits.page_dpi / _POINTS_PER_INCH, (limits.page_pixels / (width * height)) ** 0.5)
    image: Image.Image = page.render(scale=scale).to_pil()
    return image.convert("RGB")


def _text_layer(page: pypdfium2.PdfPage) -> Iterator[OcrLine]:
    """Runs of text with boxes in the frame of the rendered page, in the order of the file."""
    text = page.get_textpage()
    try:
        for number in range(min(text.count_rects(), _MOST_LINES)):
            left, bottom, right, top = text.get_rect(number)
            written = " ".join(text.get_text_bounded(left, bottom, right, top).split())
            if written:
                x0, y0 = _on_picture(page, left, top)
                x1, y1 = _on_picture(page, right, bottom)
                box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
                yield OcrLine(written, box, 1.0)
    finally:
        text.close()


def _on_picture(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
    """From PDF's own frame, which begins at the bottom and may be turned and cropped."""
    across, down = pdfium.c_int(), pdfium.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, x, y, across, down)
    return across.value / _GRID, down.value / _GRID
