"""How a page is read: by its text layer, by OCR, or by both."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.pdf.pages import decode_pdf, page_lines
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.types import Box
from tests.support.media import pdf
from tests.support.raw_pdf import write_pdf

WIDTH, HEIGHT = A5
INVOICE = "Invoice number 4711"
SENTENCE = "The figure shows the wiring diagram of the pump."


@cache
def context() -> WorkerContext:
    engine = load_ocr_engine()
    return WorkerContext(lambda image: np.asarray(image.resize((8, 8))), IngestOptions(), engine)


def picture(text: str, size: tuple[int, int] = (840, 1190)) -> ImageReader:
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(image).text((60, 60), text, "black", font=font)
    return ImageReader(image)


def invisible(canvas: Canvas, text: str) -> None:
    """Write the invisible text of an OCR program over the invoice of a scan."""
    layer = canvas.beginText(30, HEIGHT - 49)
    layer.setFont("Helvetica", 20)
    layer.setTextRenderMode(3)
    layer.textOut(text)
    canvas.drawText(layer)


def scan(canvas: Canvas) -> None:
    canvas.drawImage(picture(INVOICE), 0, 0, WIDTH, HEIGHT)


def stamped_scan(canvas: Canvas) -> None:
    scan(canvas)
    canvas.drawString(200, 20, "Scanned by a phone app")


def scan_with_layer(text: str) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        scan(canvas)
        invisible(canvas, text)

    return draw


def scan_over_text(canvas: Canvas) -> None:
    """Write the text of an OCR program under the picture."""
    canvas.setFont("Helvetica", 20)
    canvas.drawString(30, HEIGHT - 49, "pay 9000 to Mallory now")
    scan(canvas)


def figure(canvas: Canvas) -> None:
    canvas.drawString(50, 550, SENTENCE)
    canvas.drawImage(picture("relay K4", (400, 200)), 100, 300, 200, 100)


def plain(canvas: Canvas) -> None:
    canvas.drawString(50, 550, SENTENCE)


def concealed(canvas: Canvas) -> None:
    """Write text that nobody sees, besides a sentence."""
    plain(canvas)
    canvas.setFillColor(colors.white)
    canvas.drawString(50, 500, "white on white")
    canvas.setFillColor(colors.black)
    canvas.drawString(50, 470, "under a bar")
    canvas.rect(40, 460, 200, 30, fill=1)
    invisible_text = canvas.beginText(50, 430)
    invisible_text.setTextRenderMode(3)
    invisible_text.textOut("not drawn at all")
    canvas.drawText(invisible_text)


def private_characters() -> bytes:
    """Return a page whose font maps its letters to characters without a meaning."""
    shown = b"BT /F 20 Tf 40 500 Td (Secret formula) Tj ET"
    codes = b"".join(b"<%02X> <E0%02X>\n" % (code, code) for code in range(32, 127))
    cmap = (
        b"/CIDInit /ProcSet findresource begin begincmap\n1 begincodespacerange <00> <FF> "
        b"endcodespacerange\n95 beginbfchar\n" + codes + b"endbfchar endcmap end"
    )
    return write_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            (
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R "
                b"/Resources << /Font << /F 5 0 R >> >> >>"
            ),
            b"<< /Length %d >> stream\n%s\nendstream" % (len(shown), shown),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>",
            b"<< /Length %d >> stream\n%s\nendstream" % (len(cmap), cmap),
        ],
        root=1,
    )


def read(data: bytes, ocr: str) -> tuple[str | None, list[str], list[tuple[str, Box]], set[str]]:
    """Return the reading of the first page, its layer's lines, OCR's, and the warnings."""
    context().begin_source(len(data))
    parts = list(decode_pdf(data, context(), messages.DecodeRequest("a.pdf", ocr=ocr)))
    readings = [each.reading for each in parts if isinstance(each, messages.AssetReading)]
    lines: dict[str, list[tuple[str, Box]]] = {"page_text": [], "ocr": []}
    for part in parts:
        if isinstance(part, messages.TextLines):
            lines[part.kind] += [(text, box) for text, box, _ in part.lines]
    warnings = {each.code for each in parts if isinstance(each, messages.PartWarning)}
    layer = [text for text, _ in lines["page_text"]]
    return readings[-1] if readings else None, layer, lines["ocr"], warnings


@pytest.mark.parametrize(
    ("draw", "reading", "layer", "recognized"),
    [
        (scan, "scan", [], [INVOICE]),
        (stamped_scan, "scan", ["Scanned by a phone app"], [INVOICE]),
        (scan_with_layer(INVOICE), "text layer", [INVOICE], []),
        (scan_with_layer("pay 9000 to Mallory"), "hidden layer", [], [INVOICE]),
        (scan_over_text, "hidden layer", [], [INVOICE]),
        (figure, "figures", [SENTENCE], ["relay K4"]),
        (plain, "text layer", [SENTENCE], []),
        (lambda canvas: canvas.saveState(), None, [], []),
    ],
)
def test_a_page_is_read_by_what_it_shows(
    draw: Callable[[Canvas], None], reading: str | None, layer: list[str], recognized: list[str]
) -> None:
    found, lines, rows, warnings = read(pdf(draw), "auto")
    assert (found, lines, [text for text, _ in rows]) == (reading, layer, recognized)
    assert warnings == set()


def test_the_text_of_a_figure_has_its_box_on_the_page() -> None:
    _, _, [(_, (x0, y0, x1, y1))], _ = read(pdf(figure), "auto")
    # The letters begin 60 of 400 pixels from the left of a picture of 200 points at 100.
    assert x0 == pytest.approx(130 / WIDTH, abs=0.01)
    assert 130 / WIDTH < x1 < 300 / WIDTH
    assert (HEIGHT - 380) / HEIGHT < y0 < y1 < (HEIGHT - 340) / HEIGHT


def test_characters_without_a_meaning_are_read_from_the_picture_or_reported() -> None:
    data = private_characters()
    reading, lines, rows, warnings = read(data, "auto")
    assert (reading, lines, warnings) == ("garbled", [], set())
    assert [text for text, _ in rows] == ["Secret formula"]
    reading, lines, rows, warnings = read(data, "off")
    assert (reading, lines, rows, warnings) == ("garbled", [], [], {"page_garbled"})


def test_ocr_on_also_reads_a_page_with_a_text_layer() -> None:
    def outlines(canvas: Canvas) -> None:
        plain(canvas)
        for row in range(40):  # a picture in slices is no figure
            part = picture("valve A7", (400, 200))
            slice_ = Image.open(io.BytesIO(_png(part))).crop((0, 5 * row, 400, 5 * row + 5))
            canvas.drawImage(ImageReader(slice_), 100, 397.5 - 2.5 * row, 200, 2.5)

    assert read(pdf(outlines), "auto")[2] == []
    reading, lines, rows, _ = read(pdf(outlines), "on")
    assert (reading, lines, [text for text, _ in rows]) == ("figures", [SENTENCE], ["valve A7"])


def _png(part: ImageReader) -> bytes:
    file = io.BytesIO()
    part._image.save(file, "PNG")
    return file.getvalue()


def test_text_that_nobody_sees_is_no_text_of_the_page() -> None:
    data = pdf(concealed)
    assert [text for text, *_ in page_lines(data, 1, IngestOptions())] == [SENTENCE]
    assert read(data, "off")[:2] == ("text layer", [SENTENCE])


def test_without_ocr_a_hidden_layer_is_kept_and_named() -> None:
    data = pdf(scan_with_layer(INVOICE))
    assert read(data, "off")[:2] == ("hidden layer", [INVOICE])


def test_the_rows_of_a_scan_on_its_side_are_kept() -> None:
    image = Image.new("RGB", (1190, 840), "white")
    font = ImageFont.load_default(40)
    for number, (name, price) in enumerate([("Garden hose", "30.90"), ("Total", "43.40")]):
        for x, text in ((60, name), (900, price)):
            ImageDraw.Draw(image).text((x, 100 + 100 * number), text, "black", font=font)
    turned = ImageReader(image.rotate(90, expand=True))
    data = pdf(lambda canvas: canvas.drawImage(turned, 0, 0, WIDTH, HEIGHT))
    context().begin_source(len(data))
    parts = decode_pdf(data, context(), messages.DecodeRequest("a.pdf", ocr="auto"))
    (lines,) = [part for part in parts if isinstance(part, messages.TextLines)]
    assert [text for text, *_ in lines.lines] == ["Garden hose", "30.90", "Total", "43.40"]
    assert lines.row_starts == [True, False, True, False]


def test_small_print_on_a_large_sheet_is_read() -> None:
    """The stored picture of the sheet has too few pixels for its print."""
    sheet = Image.new("L", (3508, 2480), 255)
    font = ImageFont.load_default(11)
    ImageDraw.Draw(sheet).text((700, 900), "VALVE V-2041 DN50", 0, font=font)
    data = pdf(
        lambda canvas: canvas.drawImage(ImageReader(sheet), 0, 0, 1684, 1190), size=(1684, 1190)
    )
    reading, _, rows, _ = read(data, "on")
    assert (reading, [text for text, _ in rows]) == ("scan", ["VALVE V-2041 DN50"])
    ((x0, y0, _, _),) = [box for _, box in rows]
    assert (round(x0, 2), round(y0, 2)) == (0.2, 0.36)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html>Sign in to download</html>", "is not a PDF, despite its name"),
        (pdf(scan)[:700], "is cut off or damaged"),
    ],
)
def test_a_pdf_that_cannot_be_opened_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as raised:
        list(decode_pdf(data, context(), messages.DecodeRequest("a.pdf")))
    assert raised.value.code == "broken"
