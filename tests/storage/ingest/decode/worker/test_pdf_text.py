"""The text of PDF pages: words, columns, tables, hyphens, directions, and boxes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pytest
from reportlab.lib.pagesizes import A5
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.ingest.decode.worker.pdf.pages import page_lines
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.types import Box
from tests.storage.ingest.conftest import Bench
from tests.support.media import pdf

WIDTH, HEIGHT = A5
LEFT = [
    "The quick brown fox jumps over",
    "the lazy dog near the river bank",
    "and the committee approved the",
    "budget for the next fiscal year.",
]
RIGHT = [
    "Meanwhile in another column we",
    "discuss photosynthesis in algae",
    "which depends on the wavelength",
    "of light that reaches the cells.",
]


def texts(*pages: Callable[[Canvas], None], page: int = 1) -> list[str]:
    return [text for text, *_ in page_lines(pdf(*pages), page, IngestOptions())]


def box_of(data: bytes, text: str) -> Box:
    (box,) = [box for each, box, _ in page_lines(data, 1, IngestOptions()) if text in each]
    return box


def letters_only(canvas: Canvas) -> None:
    """Place each letter, and no space."""
    at = 50.0
    for letter in "Beautiful is better than ugly.":
        if letter != " ":
            canvas.drawString(at, 500, letter)
        at += canvas.stringWidth(letter, "Helvetica", 12)


def columns(canvas: Canvas) -> None:
    """Write the lines of two columns in turn."""
    canvas.setFont("Helvetica", 9)
    canvas.drawString(120, 550, "A heading across both columns of the page")
    for row, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True)):
        canvas.drawString(40, 500 - 12 * row, left)
        canvas.drawString(215, 500 - 12 * row, right)


def table(canvas: Canvas) -> None:
    rows = [["Item", "Price", "Stock"], ["bolt", "1.20", "12"], ["long nut", "0.80", "7"]]
    for column in range(3):  # written column by column
        for row, cells in enumerate(rows):
            canvas.drawString(50 + 110 * column, 500 - 18 * row, cells[column])


RESULTS = [("Alpha", "91.2", "17"), ("Beta", "88.4", "25"), ("Gamma", "79.9", "31")]


def results(heading: float, caption: float, sum_at: float) -> Callable[[Canvas], None]:
    """A table whose caption covers one of two gutters, with white space at some rows."""

    def draw(canvas: Canvas) -> None:
        canvas.drawString(130, 500 + caption, "Table 1: Results")
        y = 500.0
        for number, cells in enumerate([("Model", "Accuracy", "Speed"), *RESULTS]):
            for column, cell in enumerate(cells):
                canvas.drawString(50 + 90 * column, y, cell)
            y -= heading if number == 0 else sum_at if number == 2 else 14

    return draw


def hyphenated(canvas: Canvas) -> None:
    canvas.drawString(50, 500, "The gearbox contains a hydraulic trans-")
    canvas.drawString(50, 486, "mission with a clutch from the Anglo-")
    canvas.drawString(50, 472, "American factory.")


def spaced(canvas: Canvas) -> None:
    text = canvas.beginText(50, 500)
    text.setCharSpace(5)
    text.textOut("BEAUTIFUL BRACKETS")
    canvas.drawText(text)


def bold(canvas: Canvas) -> None:
    for shift in (0.0, 0.4, 0.8):
        canvas.drawString(50 + shift, 500, "Warranty office 2024")


def leaders(canvas: Canvas) -> None:
    canvas.drawString(50, 500, "Safety rules" + " ." * 30 + " 5")


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (letters_only, ["Beautiful is better than ugly."]),
        (columns, ["A heading across both columns of the page", *LEFT, *RIGHT]),
        (table, ["Item", "Price", "Stock", "bolt", "1.20", "12", "long nut", "0.80", "7"]),
        (spaced, ["BEAUTIFUL BRACKETS"]),
        (bold, ["Warranty office 2024"]),
        (leaders, ["Safety rules" + " ." * 30 + " 5"]),
    ],
)
def test_text_is_read_as_a_person_reads_it(
    draw: Callable[[Canvas], None], expected: list[str]
) -> None:
    assert texts(draw) == expected


@pytest.mark.parametrize(
    "draw", [results(14, 24, 14), results(22, 14, 14), results(14, -66, 14), results(14, 24, 22)]
)
def test_white_space_in_a_table_does_not_turn_its_rows_into_columns(
    draw: Callable[[Canvas], None],
) -> None:
    lines = [each for each in texts(draw) if each != "Table 1: Results"]
    assert lines == ["Model", "Accuracy", "Speed", *(cell for row in RESULTS for cell in row)]


def test_notes_beside_a_text_are_read_after_it() -> None:
    def page(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 9)
        for row, line in enumerate(LEFT + RIGHT):
            canvas.drawString(40, 500 - 12 * row, line)
        for row, line in enumerate(["see page", "ten for", "the list"]):
            canvas.drawString(250, 482 - 13 * row, line)

    assert texts(page) == [*LEFT, *RIGHT, "see page", "ten for", "the list"]


def test_a_letter_between_columns_of_a_form_stays_with_its_label() -> None:
    def form(canvas: Canvas) -> None:
        for row, (label, value) in enumerate([("Name", "Ann Lee"), ("Town", "Ghent"), ("No", "7")]):
            canvas.drawString(50, 500 - 30 * row, label)
            canvas.drawString(200, 500 - 30 * row, value)

    assert texts(form) == ["Name", "Ann Lee", "Town", "Ghent", "No", "7"]


async def test_a_hyphenated_word_is_found_whole_and_by_its_parts(bench: Bench, album: Path) -> None:
    (album / "gear.pdf").write_bytes(pdf(hyphenated))
    await bench.ingest("album")
    ((text, id_),) = await bench.rows("SELECT text, id FROM sightline.content_passage")
    assert text == (
        "The gearbox contains a hydraulic transmission\nwith a clutch from the Anglo-American\n"
        "factory."
    )
    terms = {row[0] for row in await bench.rows(
        "SELECT term FROM sightline.posting WHERE passage_id = %s", id_
    )}  # fmt: skip
    assert {"transmiss", "tran", "mission", "american"} <= terms


def test_ligatures_and_accents_become_letters() -> None:
    pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))

    def page(canvas: Canvas) -> None:
        canvas.setFont("Vera", 12)
        canvas.drawString(50, 500, "e\ufb01cient o\ufb02ine")
        for at, accent in ((50, "\u00a8"), (50, "u")):
            canvas.drawString(at, 480, accent)
        canvas.drawString(50 + canvas.stringWidth("u", "Vera", 12), 480, "ber")

    assert texts(page) == ["eficient ofline", "\u00fcber"]


def test_text_outside_the_visible_page_is_left_out() -> None:
    document = pypdfium2.PdfDocument(pdf(table))
    document[0].set_cropbox(40, 480, 150, 520)
    file = io.BytesIO()
    document.save(file)
    lines = page_lines(file.getvalue(), 1, IngestOptions())
    assert [text for text, *_ in lines] == ["Item", "bolt"]
    x0, y0, x1, y1 = lines[0][1]
    assert x0 == pytest.approx(10 / 110, abs=0.01)
    assert 0 <= y0 < y1 <= 1
    assert x1 < 1


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_are_those_of_the_page_as_it_is_shown(rotation: int) -> None:
    document = pypdfium2.PdfDocument(pdf(table))
    document[0].set_rotation(rotation)
    file = io.BytesIO()
    document.save(file)
    x0, y0, x1, y1 = box_of(file.getvalue(), "long nut")
    width = pdfmetrics.stringWidth("long nut", "Helvetica", 12)
    left, right = 50 / WIDTH, (50 + width) / WIDTH
    top, bottom = 1 - (464 + 9.6) / HEIGHT, 1 - (464 - 2.7) / HEIGHT
    expected = {
        0: (left, top, right, bottom),
        90: (1 - bottom, left, 1 - top, right),
        180: (1 - right, 1 - bottom, 1 - left, 1 - top),
        270: (top, 1 - right, bottom, 1 - left),
    }[rotation]
    assert (x0, y0, x1, y1) == pytest.approx(expected, abs=0.005)


def test_a_turned_table_is_read_in_its_own_direction() -> None:
    def turned(canvas: Canvas) -> None:
        canvas.rotate(90)
        canvas.translate(0, -HEIGHT)
        table(canvas)

    assert texts(turned) == [
        "Item",
        "Price",
        "Stock",
        "bolt",
        "1.20",
        "12",
        "long nut",
        "0.80",
        "7",
    ]
