"""PDF pages, web pages and tables become images and text with positions."""

import io
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A5
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.ingest.decode.worker.text_files import parse_rows
from sightline.storage.ingest.discover.caption_tables import dedupe_headers
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.records.deletion import delete_assets
from tests.storage.ingest.conftest import Bench
from tests.support.media import pdf


def boards(canvas: Canvas) -> None:
    canvas.drawString(50, 540, "The AM4 board has holes")
    canvas.drawString(50, 526, "ninety millimetres apart.")
    canvas.drawString(50, 60, "Warranty: two years.")


def scan(canvas: Canvas) -> None:
    image = Image.new("RGB", (600, 200), "white")
    font = ImageFont.load_default(40)
    ImageDraw.Draw(image).text((30, 70), "SCANNED INVOICE 4711", "black", font=font)
    canvas.drawImage(ImageReader(image), 20, 300, 380, 127)


async def test_each_page_is_an_image_with_its_paragraphs_and_their_boxes(
    bench: Bench, album: Path
) -> None:
    (album / "manual.pdf").write_bytes(pdf(boards, lambda c: c.rect(100, 100, 200, 200, fill=1)))
    summary = await bench.ingest("album")
    assert (summary.added, summary.images, summary.passages) == (1, 2, 2)
    assert summary.stages["render"] > 0
    pages = await bench.rows(
        "SELECT a.kind, page, ordinal, width, height, a.location, a.sha256, s.kind, mime_type "
        "FROM sightline.asset a JOIN sightline.source s ON s.id = a.source_id ORDER BY ordinal"
    )
    assert [row[:3] for row in pages] == [("page", 1, 0), ("page", 2, 1)]
    for *_, width, height, location, sha256, kind, mime in pages:
        assert (kind, mime) == ("pdf", "application/pdf")
        assert location.startswith("object:")
        rendered = Image.open(io.BytesIO(bench.blobs.read(location, sha256, name="it")))
        assert rendered.size == (width, height) == (875, 1241)
    passages = await bench.rows(
        "SELECT kind, text, page, x0, y0, x1, y1 FROM sightline.content_passage ORDER BY ordinal"
    )
    assert [row[:3] for row in passages] == [
        ("page_text", "The AM4 board has holes\nninety millimetres apart.", 1),
        ("page_text", "Warranty: two years.", 1),
    ]
    x0, y0, x1, y1 = passages[0][3:]
    assert x0 == pytest.approx(50 / A5[0], abs=0.01)
    assert y0 < 1 - 540 / A5[1] < y1 < 0.15
    assert x1 < 0.5
    assert passages[1][4] > 0.85


async def test_a_rotated_page_has_rotated_boxes(bench: Bench, album: Path) -> None:
    def turned(canvas: Canvas) -> None:
        canvas.drawString(50, 540, "upper left corner of the sheet")

    document = pypdfium2.PdfDocument(pdf(turned))
    document[0].set_rotation(90)
    document.save(album / "turned.pdf")
    await bench.ingest("album")
    ((width, height),) = await bench.rows("SELECT width, height FROM sightline.asset")
    assert width > height
    ((x0, y0),) = await bench.rows("SELECT x0, y0 FROM sightline.content_passage")
    assert x0 > 0.8
    assert y0 < 0.2


async def test_ocr_runs_only_on_pages_without_a_text_layer(bench: Bench, album: Path) -> None:
    bench.ocr_engine = load_ocr_engine()
    (album / "mixed.pdf").write_bytes(pdf(boards, scan))
    await bench.ingest("album")
    query = "SELECT kind, text, page FROM sightline.content_passage ORDER BY page, ordinal"
    plain = await bench.rows(query)
    assert {row[0] for row in plain} == {"page_text"}
    assert (await bench.ingest("album", ocr="auto")).updated == 1
    assert await bench.rows(query) == [*plain, ("ocr", "SCANNED INVOICE 4711", 2)]
    assert (await bench.ingest("album", ocr="auto")).unchanged == 1
    assert (await bench.counts())["asset"] == 2


async def test_a_page_has_the_reason_for_its_way_of_reading(bench: Bench, album: Path) -> None:
    (album / "mixed.pdf").write_bytes(pdf(boards, scan))
    (album / "note.txt").write_text("no page")
    summary = await bench.ingest("album")
    assert summary.readings == {"text layer": 1, "scan": 1}
    query = "SELECT page, reading FROM analytics.assets ORDER BY page"
    assert await bench.rows(query) == [(1, "text layer"), (2, "scan")]


async def test_hostile_pdfs_fail_by_name_and_leave_nothing(bench: Bench, album: Path) -> None:
    lock = StandardEncryption("secret", canPrint=0)
    (album / "a-locked.pdf").write_bytes(pdf(boards, encrypt=lock))
    (album / "b-cut.pdf").write_bytes(pdf(boards)[:300])
    (album / "c-noise.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 40)
    (album / "d-long.pdf").write_bytes(pdf(*[boards] * 4))
    (album / "e-good.pdf").write_bytes(pdf(boards))
    summary = await bench.ingest("album", max_pages=3)
    assert summary.added == 1
    assert await bench.failures() == {
        "album/a-locked.pdf": "encrypted",
        "album/b-cut.pdf": "broken",
        "album/c-noise.pdf": "broken",
        "album/d-long.pdf": "too_many_pages",
    }
    assert len(list(bench.blobs.locations())) == 1


async def test_an_encrypted_pdf_is_opened_with_a_password_that_is_stored_nowhere(
    bench: Bench, album: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (album / "locked.pdf").write_bytes(pdf(boards, encrypt=StandardEncryption("tulip-88")))
    summary = await bench.ingest("album", pdf_passwords=("wrong-17",))
    ((_, reason),) = summary.failures["encrypted"].examples
    assert "SIGHTLINE_INGEST__PDF_PASSWORDS" in reason
    options = {"pdf_passwords": ("wrong-17", "tulip-88")}
    summary = await bench.ingest("album", **options)
    assert (summary.added, summary.passages) == (1, 2)
    stored = await bench.rows("SELECT to_jsonb(s) || to_jsonb(a) FROM sightline.source s, asset a")
    for text in (str(stored), str(summary), caplog.text, repr(IngestOptions(**options))):
        assert "tulip-88" not in text
        assert "wrong-17" not in text


async def test_a_poster_is_rendered_within_the_limit(bench: Bench, album: Path) -> None:
    (album / "poster.pdf").write_bytes(pdf(boards, size=(14_000, 14_000)))
    await bench.ingest("album", page_pixels=250_000)
    assert await bench.rows("SELECT width, height FROM sightline.asset") == [(500, 500)]


async def test_deleting_pages_deletes_their_images(bench: Bench, album: Path) -> None:
    (album / "manual.pdf").write_bytes(pdf(boards, scan))
    await bench.ingest("album")
    ids = [row[0] for row in await bench.rows("SELECT id FROM sightline.asset")]
    deleted = await delete_assets(bench.database, bench.blobs, ids)
    assert (deleted.assets, deleted.sources, deleted.blobs) == (2, 1, 2)
    assert (album / "manual.pdf").exists()


async def test_a_web_page_becomes_its_visible_text(bench: Bench, album: Path) -> None:
    (album / "page.html").write_text(
        "<html><head><title>Boards</title><style>p {}</style><script>steal()</script></head>"
        "<body><!-- secret --><p>Ninety <b>milli</b>metres</p><p hidden>no</p>"
        "<div style='display: none'>never</div><ul><li>one<li>two</ul></body></html>"
    )
    await bench.ingest("album")
    assert await bench.rows("SELECT kind, text FROM sightline.content_passage") == [
        ("chunk", "Boards\nNinety millimetres\none\ntwo")
    ]
    assert await bench.rows("SELECT mime_type FROM sightline.source") == [("text/html",)]


async def test_rows_of_tables_are_passages_with_their_offsets(bench: Bench, album: Path) -> None:
    table = 'part,spacing,note\nAM4,90 mm,"two\nlines"\nLGA1700,78 mm,\n'
    (album / "parts.csv").write_text(table)
    # A line separator within a string is JSON, and no end of the row.
    lines = '{"part": "SP3\u2028new", "pins": 4094}\n\n{"part": "散热器"}\n'
    (album / "more.jsonl").write_text(lines)
    await bench.ingest("album")
    rows = await bench.rows(
        "SELECT p.kind, text, char_start, char_end, mime_type FROM sightline.content_passage p "
        "JOIN sightline.source s ON s.id = p.source_id ORDER BY name, ordinal"
    )
    assert {row[0] for row in rows} == {"row"}
    assert [row[1] for row in rows] == [
        "part: SP3\u2028new\npins: 4094",
        "part: 散热器",
        "part: AM4\nspacing: 90 mm\nnote: two\nlines",
        "part: LGA1700\nspacing: 78 mm",
    ]
    assert lines[rows[1][2] : rows[1][3]] == '{"part": "散热器"}\n'
    assert table[rows[2][2] : rows[2][3]] == 'AM4,90 mm,"two\nlines"\n'


async def test_broken_documents_are_failures_with_a_code(bench: Bench, album: Path) -> None:
    (album / "a.jsonl").write_text('{"x": 1}\n{"x"')
    (album / "b.csv").write_text("a,b\n")
    (album / "c.html").write_text("<div>" * 3000 + "deep")
    (album / "d.html").write_text("<script>only()</script>")
    (album / "e.csv").write_text("a\n1\n2\n3\n")
    await bench.ingest("album", max_rows=2)
    assert await bench.failures() == {
        "album/a.jsonl": "broken",
        "album/b.csv": "empty",
        "album/c.html": "broken",
        "album/d.html": "empty",
        "album/e.csv": "too_many_rows",
    }


def test_repeated_columns_of_a_table_are_both_kept() -> None:
    table = "part,price,,price\nshackle,3,blue,4,left over\n"
    (row,) = parse_rows(table, ".csv", 10)
    assert row.text.split("\n") == [
        "part: shackle",
        "price: 3",
        "blue",
        "price (2): 4",
        "left over",
    ]


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        (["a (2)", "a", "a"], ["a (2)", "a", "a (3)"]),
        (["", ""], ["", ""]),
    ],
)
def test_repeated_columns_get_a_number(names: list[str], apart: list[str]) -> None:
    assert dedupe_headers(names) == apart
