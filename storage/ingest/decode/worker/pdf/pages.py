"""Render PDF pages and take their text layer, or their OCR text."""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.pdf.document_facts import read_facts
from sightline.storage.ingest.decode.worker.pdf.page_reading import PageReader
from sightline.storage.ingest.decode.worker.pdf.text_layer import TextLayer, read_layer
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.embedded_metadata import EmbeddedMetadata
from sightline.storage.types import Box

_POINTS_PER_INCH = 72
_ADVICE = "give it in SIGHTLINE_INGEST__PDF_PASSWORDS, or store a copy without one"
_HEADER_BYTES = 1024  # the signature of a PDF is in them
_MAX_PAGE_EDGE = 1 << 24  # pixels of a page of which a part is rendered: PDFium counts in C int


def decode_pdf(
    data: bytes, context: WorkerContext, request: messages.DecodeRequest
) -> Generator[messages.JobPart, None, EmbeddedMetadata]:
    """Yield the parts of every page, and return what the document says about itself.

    A broken page is a warning; MediaError if all pages are broken.
    """
    document = _open(data, context.limits.pdf_passwords)
    try:
        count = len(document)
        if count == 0:
            raise MediaError("broken", "has no pages")
        if count > context.limits.max_pages:
            limit = f"the limit is {context.limits.max_pages:,}"
            raise MediaError("too_many_pages", f"has {count:,} pages; {limit}")
        broken = 0
        for index in range(count):
            why = None
            if context.clock.seconds > request.work_seconds:
                why = f"took longer than {request.work_seconds:g} s"
            elif not context.has_room_for_picture():
                why = "has pages that take far more bytes than the file"
            if why is not None:
                reason = f"{why}; kept {index:,} of {count:,} pages"
                if broken == index:
                    raise MediaError("timeout", reason)
                yield messages.PartWarning(code="document_cut_short", reason=reason)
                break
            try:
                yield from _page_parts(document, index, context, request)
            except (pypdfium2.PdfiumError, MediaError, ValueError, OSError) as error:
                broken += 1
                yield messages.PartWarning(code="page_broken", reason=f"page {index + 1}: {error}")
        if broken == count:
            raise MediaError("broken", f"has {count} pages and none of them can be rendered")
        return read_facts(document)
    finally:
        document.close()


def page_images(
    data: bytes, context: WorkerContext, request: messages.DecodeRequest, first_ordinal: int
) -> Iterator[messages.ImagePart]:
    """Yield the pictures of the pages of a PDF, as far as there is room."""
    document = _open(data, ())
    try:
        count = min(len(document), context.limits.max_pages)
        for index in range(count):
            late = context.clock.seconds > request.work_seconds
            if late or not context.has_room_for_picture():
                raise MediaError("too_large", f"has room or time for {index:,} of {count:,} pages")
            with context.timed("render"):
                image = _render(document[index], context.limits)
            facts = {"kind": "page", "ordinal": first_ordinal + index, "page": index + 1}
            yield from context.picture_parts(image, count, **facts)
    except (pypdfium2.PdfiumError, ValueError, OSError) as error:
        raise MediaError("broken", f"has a page that cannot be rendered: {error}") from error
    finally:
        document.close()


def render_page_part(
    data: bytes, page: int, crop: Box | None, edge: int, passwords: Sequence[str] = ()
) -> Image.Image:
    """Return a part of a page in RGB, its longer side ``edge`` pixels long.

    ``page`` starts at 1. Only the part is rendered; an extremely small one is smaller. Raises
    MediaError.
    """
    with _open_page(data, page, passwords) as (_, loaded):
        width, height = _page_size(loaded)
        x0, y0, x1, y1 = crop or (0.0, 0.0, 1.0, 1.0)
        scale = edge / max((x1 - x0) * width, (y1 - y0) * height)
        scale = min(scale, _MAX_PAGE_EDGE / max(width, height))
        whole = (math.ceil(width * scale), math.ceil(height * scale))
        left, top, right, bottom = crop_pixels(whole, (x0, y0, x1, y1))
        margins = (left, whole[1] - bottom, whole[0] - right, top)
        # The library rounds up to whole pixels.
        points = tuple(max(0.0, pixels - 0.5) / scale for pixels in margins)
        image: Image.Image = loaded.render(scale=scale, crop=points).to_pil()
        return image.convert("RGB")


def page_lines(data: bytes, page: int, limits: IngestOptions) -> list[tuple[str, Box, float]]:
    """Return the lines of the text layer of a page as in `TextLines`.

    ``page`` starts at 1. Raises MediaError.
    """
    with _open_page(data, page, limits.pdf_passwords) as (document, loaded):
        layer = read_layer(document, loaded, _render(loaded, limits))
        lines = layer.lines([*layer.shown, *layer.hidden])
        return [(text, box, 1.0) for text, box in lines]


@contextmanager
def _open_page(
    data: bytes, page: int, passwords: Sequence[str]
) -> Iterator[tuple[pypdfium2.PdfDocument, pypdfium2.PdfPage]]:
    """Open one page, from 1. Every error in the block becomes a MediaError."""
    document = _open(data, passwords)
    try:
        if not 1 <= page <= len(document):
            raise MediaError("broken", f"has no page {page:,}")
        yield document, document[page - 1]
    except (pypdfium2.PdfiumError, ValueError, OSError) as error:
        raise MediaError("broken", f"page {page:,} cannot be read: {error}") from error
    finally:
        document.close()


def _open(data: bytes, passwords: Sequence[str]) -> pypdfium2.PdfDocument:
    """Open a document with the first password that fits. Raises MediaError."""
    for password in passwords:
        try:
            return _open_with(data, password)
        except MediaError as error:
            if error.code != "encrypted":
                raise
    return _open_with(data, None)


def _open_with(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(data, password=password)
        with warnings.catch_warnings():  # of forms in XML, which have a copy without
            warnings.simplefilter("ignore")
            document.init_forms()  # so that pages are drawn with values; runs no scripts
    except pypdfium2.PdfiumError as error:
        if pdfium.FPDF_GetLastError() == pdfium.FPDF_ERR_PASSWORD or "assword" in str(error):
            raise MediaError("encrypted", "is a PDF that needs a password; " + _ADVICE) from error
        if b"%PDF-" not in data[:_HEADER_BYTES]:
            raise MediaError("broken", "is not a PDF, despite its name") from error
        raise MediaError("broken", f"is cut off or damaged: {error}") from error
    return document


def _page_parts(
    document: pypdfium2.PdfDocument,
    index: int,
    context: WorkerContext,
    request: messages.DecodeRequest,
) -> Iterator[messages.JobPart]:
    page = document[index]
    # OCR may replace the text layer, so a source gets both again.
    reads_text = not request.metadata_only or request.ocr != "off"
    try:
        with context.timed("render"):
            image = _render(page, context.limits)
        if not request.metadata_only:
            page_facts = {"kind": "page", "ordinal": index, "page": index + 1}
            yield from context.picture_parts(image, len(document), **page_facts)
        if reads_text:
            layer = read_layer(document, page, image, context.output.chars_left)
            yield from PageReader(page, index + 1, image, layer, context, request).parts()
            yield from _note_parts(layer, index, context)
        yield from context.region_parts(image, request._replace(ocr="off"), index)
    finally:
        page.close()


def _note_parts(layer: TextLayer, index: int, context: WorkerContext) -> Iterator[messages.JobPart]:
    """Yield comments and fields, each kind in one message."""
    kinds: tuple[tuple[messages.LineKind, bool], ...] = (("field", True), ("note", False))
    for kind, is_field in kinds:
        lines = [
            (note.text, layer.frame.normalized(note.box), 1.0)
            for note in layer.notes
            if bool(note.value) == is_field
        ]
        if lines:
            yield from context.line_parts(kind, index, lines, index + 1)


def _render(page: pypdfium2.PdfPage, limits: IngestOptions) -> Image.Image:
    """Return the page in RGB at ``page_dpi``, or at less if it had too many pixels."""
    width, height = _page_size(page)
    scale = min(limits.page_dpi / _POINTS_PER_INCH, (limits.page_pixels / (width * height)) ** 0.5)
    image: Image.Image = page.render(scale=scale).to_pil()
    return image.convert("RGB")


def _page_size(page: pypdfium2.PdfPage) -> tuple[float, float]:
    """Return the size in points. Raises MediaError if it makes no sense."""
    width, height = page.get_size()
    if not (0 < width < 1e6 and 0 < height < 1e6):
        raise MediaError("broken", f"has a size of {width} x {height} points")
    return width, height
