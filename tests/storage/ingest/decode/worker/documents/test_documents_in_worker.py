"""Documents become text in reading order with headings, rows, notes and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageDraw, ImageFont

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.documents.office_parts import properties_of
from sightline.storage.ingest.decode.worker.documents.package import Package
from sightline.storage.ingest.decode.worker.documents.read_document import read_document
from sightline.storage.ingest.decode.worker.documents.sheets import shown_number
from sightline.storage.ingest.decode.worker.documents.web_page import read_web_page
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.decode.worker_pool import no_preprocess
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.embedded_metadata import EmbeddedMetadata
from sightline.storage.records.source_text import TextSelection, fetch_passages, find_sources
from tests.storage.ingest.conftest import Bench
from tests.support.office_files import (
    book_file,
    chart,
    open_document_file,
    packed,
    repacked,
    slides_file,
    word_file,
    workbook_file,
)

OPTIONS = IngestOptions()


def blocks_of(data: bytes) -> list[tuple[Any, ...]]:
    """Return kind, text and page of the blocks of a document."""
    return [(each.kind, each.text, each.page) for each in read_document(data, OPTIONS).blocks]


def parts_of(name: str, data: bytes, **options: Any) -> list[messages.JobPart]:
    context = WorkerContext(no_preprocess, IngestOptions(**options))
    return list(run_request(messages.DecodeRequest(name, data=data), context))


def passages_of(name: str, data: bytes, **options: Any) -> Iterator[tuple[str, str]]:
    for part in parts_of(name, data, **options):
        if isinstance(part, messages.TextPassages):
            yield from ((part.kind, each.text) for each in part.passages)


def test_a_word_document_is_read_in_order() -> None:
    assert [each[:2] for each in blocks_of(word_file())] == [
        ("heading", "Heat sink"),
        ("text", "Mount the bracket with four screws."),
        ("heading", "Parts"),
        ("text", "- bracket"),
        ("text", "- four screws"),
        ("text", "1. align the holes"),
        ("text", "2. tighten the screws"),
        ("row", "part: shackle\nprice: 3,50 €"),
        ("row", "part: bolt\nprice: 1 €"),
        ("heading", "Drawing"),
        ("text", "The drawing shows the relay."),
        ("picture", "wiring of relay K4"),
        ("caption", "Figure 1: terminals from left to right"),
        ("text", "Torque is 5 Nm."),
        ("note", "Comment: Bob: Is that enough?"),
        ("text", "visible"),
        ("text", "Company Ltd"),
    ]
    embedded = read_document(word_file(), OPTIONS).embedded
    assert (embedded.title, embedded.author) == ("Assembly guide", "Ada")


def test_slides_have_their_numbers() -> None:
    assert blocks_of(slides_file()) == [
        ("heading", "Quarterly result", 1),
        ("text", "Revenue grew by 12 %", 1),
        ("note", "Speaker notes: Mention the new plant", 1),
        ("heading", "Market", 2),
        ("picture", "share by region", 2),
        ("row", "region: north\nshare: 40", 2),
        ("row", "region: south\nshare: 60", 2),
    ]


def test_cells_are_read_as_they_are_shown() -> None:
    assert [each for each in blocks_of(workbook_file()) if each[0] != "picture"] == [
        ("heading", "Orders", 1),
        ("text", "Orders of May", 1),
        (
            "row",
            (
                "Sheet: Orders\ndate: 2024-05-03\ncustomer: Müller\namount: 1,299.00 €\n"
                "share: 12.5%\npaid: TRUE"
            ),
            1,
        ),
        (
            "row",
            (
                "Sheet: Orders\ndate: 2024-05-04\ncustomer: Meier\namount: 5.50 €\nshare: 50.0%\n"
                "paid: FALSE"
            ),
            1,
        ),
        ("note", "Comment at C5: please check", 1),
        ("heading", "Stock", 2),
        ("row", "Sheet: Stock\nplace: A\npart: nail\ncount: 7", 2),
        ("row", "Sheet: Stock\nplace: A\npart: bolt\ncount: 8", 2),
    ]


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("1299", "General", "1299"),
        ("0.1", "General", "0.1"),
        ("1299.5", "#,##0.00", "1,299.50"),
        ("1299.5", "[$€-407] #,##0.00", "€1,299.50"),
        ("-5", '0.00 "EUR";[Red]-0.00', "-5.00 EUR"),
        ("0.125", "0%", "13%"),
        ("2.675", "0.00", "2.68"),
        ("1.5E-10", "0.00E+00", "1.50E-10"),
        ("0.5", "# ?/?", "0.5"),
        ("1067", "00000", "01067"),
        ("-42", "0000", "-0042"),
        ("1e999", "0", "1e999"),
        ("1e300", "0.00", "1" + "0" * 300 + ".00"),
        ("45415", "dd/mm/yyyy", "2024-05-03"),
        ("45415.75", "m/d/yy h:mm", "2024-05-03 18:00"),
        ("0.75", "hh:mm", "18:00"),
        ("1.5", "[h]:mm:ss", "36:00:00"),
        ("4711", '"No. "0', "4711"),
        ("1e300", "dd.mm.yyyy", "1e300"),
        ("nonsense", "0", "nonsense"),
    ],
)
def test_a_number_is_shown_in_its_format(value: str, code: str, shown: str) -> None:
    assert shown_number(value, code, datetime.fromisoformat("1899-12-30")) == shown


def test_open_documents_are_read() -> None:
    text = (
        '<text:h text:outline-level="2">Parts</text:h>'
        "<text:p>two<text:s text:c='2'/>screws<text:note><text:note-body><text:p>of steel"
        "</text:p></text:note-body></text:note></text:p>"
        "<text:list><text:list-item><text:p>bracket</text:p></text:list-item></text:list>"
        "<text:p><draw:frame><svg:title>relay K4</svg:title>"
        '<draw:image xlink:href="Pictures/a.png"/></draw:frame></text:p>'
        "<text:p>see<office:annotation><dc:creator>Bob</dc:creator><text:p>why?</text:p>"
        "</office:annotation></text:p>"
    )
    assert [each[:2] for each in blocks_of(open_document_file("text", text, a=chart()))] == [
        ("heading", "Parts"),
        ("text", "two  screws"),
        ("note", "Footnote: of steel"),
        ("text", "- bracket"),
        ("picture", "relay K4"),
        ("text", "see"),
        ("note", "Comment: Bob: why?"),
    ]

    def row(*cells: str) -> str:
        tags = (f"<table:table-cell><text:p>{each}</text:p></table:table-cell>" for each in cells)
        return f"<table:table-row>{''.join(tags)}</table:table-row>"

    sheet = (
        f'<table:table table:name="Stock">{row("part", "price")}{row("nail", "1,5")}</table:table>'
    )
    assert blocks_of(open_document_file("spreadsheet", sheet)) == [
        ("heading", "Stock", 1),
        ("row", "part: nail\nprice: 1,5", 1),
    ]
    slide = (
        "<draw:page><draw:frame><draw:text-box><text:p>body</text:p></draw:text-box></draw:frame>"
        '<draw:frame presentation:class="title"><draw:text-box><text:p>Title</text:p>'
        "</draw:text-box></draw:frame><presentation:notes><text:p>say it</text:p>"
        "</presentation:notes></draw:page>"
    )
    assert blocks_of(open_document_file("presentation", slide)) == [
        ("heading", "Title", 1),
        ("text", "body", 1),
        ("note", "Speaker notes: say it", 1),
    ]


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    assert [each[:2] for each in blocks_of(book_file())] == [
        ("heading", "Loomings"),
        ("text", "Call me Ishmael."),
        ("heading", "The Spouter"),
        ("picture", "a ship in a storm"),
        ("text", "Enter the inn."),
    ]


def test_a_web_page_keeps_alternative_texts_tables_and_pictures() -> None:
    data = base64.b64encode(chart()).decode()
    page = (
        "<title>Boards</title><h2>Sockets</h2><p>Two <b>sock</b>ets.</p>"
        f'<figure><img src="data:image/png;base64,{data}" alt="pin layout">'
        "<figcaption>Pins of AM4</figcaption></figure>"
        '<img src="https://example.com/x.png" alt="a cooler"><script>steal()</script>'
        "<table><tr><th>part<th>price<tr><td>nail<td>5<tr hidden><td>x<td>y</table>"
        '<p style="font-size:0">secret</p><p style="opacity: 0">secret</p>'
    )
    assert [each[:2] for each in read_web_page(page).blocks] == [
        ("text", "Boards"),
        ("heading", "Sockets"),
        ("text", "Two sockets."),
        ("picture", "pin layout"),
        ("caption", "Pins of AM4"),
        ("text", "a cooler"),
        ("row", "part: nail\nprice: 5"),
    ]
    parts = parts_of("page.html", page.encode())
    (image,) = [each for each in parts if isinstance(each, messages.ImagePart)]
    assert (image.kind, image.width, image.content is not None) == ("image", 200, True)
    assert isinstance(info := parts[-1], messages.SourceInfo)
    assert info.kind == "document"
    assert ("chunk", "[Picture 1] (Sockets) pin layout\nPins of AM4") in list(
        passages_of("page.html", page.encode())
    )


def test_the_next_chunks_of_a_section_name_their_headings() -> None:
    long = " ".join(f"Sentence number {number} is here." for number in range(60))
    body = f"<h1>Manual</h1><h2>Cleaning</h2><p>{long}</p>"
    first, *others = [text for _, text in passages_of("a.html", body.encode(), chunk_tokens=64)]
    assert first.startswith("Manual\nCleaning\nSentence number 0")
    assert others
    assert all(each.startswith("Manual > Cleaning\nSentence") for each in others)


@pytest.mark.parametrize(
    ("name", "write", "code"),
    [
        ("a.docx", lambda: packed({"word/document.xml": "<w><broken"}), "broken"),
        ("a.docx", lambda: packed({"other": "x"}), "unsupported"),
        ("a.docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
        ("a.docx", lambda: word_file()[:400], "broken"),
        ("a.odt", lambda: open_document_file("text", "<text:p/>"), "empty"),
        ("a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "unsupported"),
        ("a.epub", lambda: book_file('<itemref idref="x"/>'), "empty"),
    ],
)
def test_documents_that_cannot_be_read_have_a_reason(
    name: str, write: Callable[[], bytes], code: str
) -> None:
    with pytest.raises(MediaError) as raised:
        parts_of(name, write())
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (word_file()[:400], "is cut off or damaged"),
        (b"<html>Sign in</html>", "is not a document, despite its name"),
    ],
)
def test_a_document_that_is_none_says_so_without_words_of_the_library(
    data: bytes, reason: str
) -> None:
    with pytest.raises(MediaError) as raised:
        Package(data)
    assert (raised.value.code, str(raised.value)) == ("broken", reason)


def test_what_programs_write_into_every_document_is_no_title_and_no_author() -> None:
    core = (
        "<c><title>PowerPoint-Präsentation</title><description>generated using python-pptx"
        "</description><creator>python-docx</creator><subject>Heat sinks</subject></c>"
    )
    found = properties_of(ElementTree.fromstring(core))
    assert found == EmbeddedMetadata(description="Heat sinks")


async def test_a_picture_of_a_document_is_found_beside_its_text(bench: Bench, album: Path) -> None:
    (album / "guide.docx").write_bytes(word_file())
    (album / "deck.pptx").write_bytes(slides_file())
    summary = await bench.ingest("album")
    assert (summary.added, summary.images, dict(summary.failures)) == (2, 2, {})
    pictures = await bench.rows(
        "SELECT s.name, s.kind, a.kind, a.page, a.width, p.text FROM sightline.passage p "
        "JOIN sightline.asset a ON a.id = p.asset_id JOIN sightline.source s ON s.id = a.source_id "
        "WHERE p.kind = 'chunk' ORDER BY s.name"
    )
    assert pictures == [
        (
            *("album/deck.pptx", "document", "image", 2, 200),
            "[Picture 1] (Market) share by region",
        ),
        (
            *("album/guide.docx", "document", "image", None, 200),
            "[Picture 1] (Drawing) wiring of relay K4\nFigure 1: terminals from left to right",
        ),
    ]
    ((location, sha256),) = await bench.rows(
        "SELECT a.location, a.sha256 FROM sightline.asset a WHERE page = 2"
    )
    assert bench.blobs.read(location, sha256, name="it").startswith(b"\xff\xd8")
    async with bench.database.connection() as connection:
        (guide,) = await find_sources(connection, "guide.docx", "album")
        (deck,) = await find_sources(connection, "deck.pptx", "album")
        read = await fetch_passages(connection, TextSelection(guide.id), max_chars=10_000)
        slide = TextSelection(deck.id, pages=[(2, 2)])
        second = await fetch_passages(connection, slide, max_chars=10_000)
    assert [each.text.split("\n")[0] for each in read] == [
        "Heat sink",
        "part: shackle",
        "part: bolt",
        "Drawing",
        "[Picture 1] (Drawing) wiring of relay K4",
        "Drawing",
        "Comment: Bob: Is that enough?",
        "Drawing",
    ]
    assert [each.asset_id is not None for each in read].index(True) == 4
    assert (guide.page_count, deck.page_count) == (None, 2)
    assert second[0].text == "Market"
    assert (await bench.ingest("album")).unchanged == 2
    # A sidecar changes what is said of the document, not where its pictures are.
    (album / "deck.pptx.json").write_text('{"project": "K4"}')
    assert (await bench.ingest("album")).updated == 1
    assert await bench.rows(
        "SELECT location, sha256, metadata FROM sightline.asset WHERE page = 2"
    ) == [(location, sha256, {"project": "K4"})]


async def test_pictures_of_documents_are_read_by_ocr_later(bench: Bench, album: Path) -> None:
    image = Image.new("RGB", (600, 200), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(image).text((30, 70), "SCANNED INVOICE 4711", "black", font=font)
    scan = io.BytesIO()
    image.save(scan, "PNG")
    data = repacked(word_file(), {"word/media/image1.png": scan.getvalue()})
    (album / "guide.docx").write_bytes(data)
    await bench.ingest("album")
    query = "SELECT text FROM sightline.content_passage ORDER BY ordinal"
    before = await bench.rows(query)
    bench.ocr_engine = load_ocr_engine()
    assert (await bench.ingest("album", ocr="auto")).updated == 1
    after = await bench.rows(query)
    assert set(before) < set(after)
    assert ("SCANNED INVOICE 4711",) in after
