"""Write small documents of Office, OpenDocument and EPUB."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import docx
import openpyxl
import openpyxl.comments
import openpyxl.drawing.image
import pptx
import pptx.util
from PIL import Image, ImageDraw

_ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0" '
    'xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'
)


def chart(color: str = "teal") -> bytes:
    """Return a PNG of 200 x 120 pixels."""
    image = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(image).rectangle((20, 40, 90, 110), fill=color)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def packed(members: Mapping[str, bytes | str]) -> bytes:
    """Return a ZIP of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def repacked(data: bytes, members: Mapping[str, bytes | str]) -> bytes:
    """Return a document with some of its parts replaced or added."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: dict[str, bytes | str] = {each: archive.read(each) for each in archive.namelist()}
    return packed({**parts, **members})


def saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _fill(table: Any, rows: Sequence[Sequence[str]]) -> None:
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text


def word_file() -> bytes:
    """Return a document with headings, a list, a table, a comment and a picture."""
    document = docx.Document()
    document.core_properties.title = "Assembly guide"
    document.core_properties.author = "Ada"
    document.add_heading("Heat sink", 1)
    document.add_paragraph("Mount the bracket with four screws.")
    document.add_heading("Parts", 2)
    for part in ("bracket", "four screws"):
        document.add_paragraph(part, style="List Bullet")
    document.add_paragraph("align the holes", style="List Number")
    document.add_paragraph("tighten the screws", style="List Number")
    table = document.add_table(rows=3, cols=2)
    _fill(table, [("part", "price"), ("shackle", "3,50 €"), ("bolt", "1 €")])
    document.add_heading("Drawing", 1)
    document.add_paragraph("The drawing shows the relay.")
    document.add_picture(io.BytesIO(chart()), width=docx.shared.Cm(5))
    properties = document.inline_shapes[0]._inline.docPr
    properties.set("descr", "wiring of relay K4")
    document.add_paragraph("Figure 1: terminals from left to right", style="Caption")
    paragraph = document.add_paragraph("Torque is 5 Nm.")
    document.add_comment(paragraph.runs, "Is that enough?", author="Bob")
    hidden = document.add_paragraph("visible ").add_run("secret")
    hidden.font.hidden = True
    document.sections[0].header.paragraphs[0].text = "Company Ltd"
    return saved(document)


def slides_file() -> bytes:
    """Return a presentation of two slides with a table, notes, and a picture."""
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Quarterly result"
    first.placeholders[1].text = "Revenue grew by 12 %"
    first.notes_slide.notes_text_frame.text = "Mention the new plant"
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Market"
    picture = second.shapes.add_picture(io.BytesIO(chart("navy")), 0, 0, pptx.util.Cm(5))
    picture._element.nvPicPr.cNvPr.set("descr", "share by region")
    frame = second.shapes.add_table(3, 2, 0, 0, pptx.util.Cm(8), pptx.util.Cm(3))
    _fill(frame.table, [("region", "share"), ("north", "40"), ("south", "60")])
    return saved(deck)


def workbook_file() -> bytes:
    """Return a workbook of two sheets with typed cells, a comment, and a hidden sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Orders"
    sheet.append(["Orders of May"])
    sheet.append([])
    sheet.append(["date", "customer", "amount", "share", "paid"])
    sheet.append([date(2024, 5, 3), "Müller", 1299, 0.125, True])
    sheet.append([date(2024, 5, 4), "Meier", 5.5, 0.5, False])
    for row in (4, 5):
        sheet.cell(row, 3).number_format = '#,##0.00 "€"'
        sheet.cell(row, 4).number_format = "0.0%"
        sheet.cell(row, 1).number_format = "dd.mm.yyyy"
    sheet["C5"].comment = openpyxl.comments.Comment("please check", "Eve")
    stock = book.create_sheet("Stock")
    for cells in (("place", "part", "count"), ("A", "nail", 7), (None, "bolt", 8)):
        stock.append(cells)
    stock.merge_cells("A2:A3")
    stock.add_image(openpyxl.drawing.image.Image(io.BytesIO(chart("olive"))), "E2")
    book.create_sheet("Secret").append(["password", "xyzzy"])
    book["Secret"].sheet_state = "hidden"
    return saved(book)


def open_document_file(kind: str, body: str, **members: bytes) -> bytes:
    """Return an OpenDocument file with this body, ``kind`` such as text."""
    content = (
        f'<?xml version="1.0"?><office:document-content {_ODF}><office:body>'
        f"<office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    mime_type = f"application/vnd.oasis.opendocument.{kind}"
    pictures = {f"Pictures/{name}.png": data for name, data in members.items()}
    return packed({"mimetype": mime_type, "content.xml": content, **pictures})


def book_file(spine: str = '<itemref idref="b"/><itemref idref="a"/>') -> bytes:
    """Return a book of two chapters, the second of which is first in the file."""
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Whales</dc:title>'
        "<dc:creator>Herman</dc:creator></metadata><manifest>"
        '<item id="a" href="text/two.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="b" href="text/one.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="c" href="images/ship.png" media-type="image/png"/>'
        f"</manifest><spine>{spine}</spine></package>"
    )
    page = "<html><head><title>x</title></head><body>{}</body></html>"
    picture = '<img src="../images/ship.png" alt="a ship in a storm"/>'
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/>'
            "</rootfiles></container>",
            "OPS/book.opf": package,
            "OPS/text/one.xhtml": page.format("<h1>Loomings</h1><p>Call me Ishmael.</p>"),
            "OPS/text/two.xhtml": page.format(
                f"<h1>The Spouter</h1>{picture}<p>Enter the inn.</p>"
            ),
            "OPS/images/ship.png": chart("gray"),
        }
    )
