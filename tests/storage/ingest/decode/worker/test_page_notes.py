"""Filled forms, comments, and what a PDF says about itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.ingest.decode.worker.pdf.pages import page_lines, render_page_part
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.storage.ingest.conftest import Bench
from tests.support.media import pdf
from tests.support.raw_pdf import write_pdf


def form(canvas: Canvas, *, value: str = "Wilhelmina Overbeek") -> None:
    canvas.drawString(50, 500, "Name of applicant:")
    fields = canvas.acroForm
    fields.textfield(name="applicant", value=value, x=170, y=495, width=150, height=20)
    canvas.drawString(50, 460, "Agrees:")
    fields.checkbox(name="agrees", checked=bool(value), x=170, y=458, size=16)
    fields.checkbox(name="objects", checked=False, x=250, y=458, size=16)
    fields.textfield(
        name="code", value="s3cret", x=170, y=420, width=150, height=20, fieldFlags="password"
    )


def annotated(annotations: list[bytes], scripts: bytes = b"") -> bytes:
    """Return a page with annotations."""
    shown = b"BT /F 14 Tf 40 500 Td (Contract clause seven) Tj ET"
    numbers = b" ".join(b"%d 0 R" % (6 + index) for index in range(len(annotations)))
    return write_pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R %s >>" % scripts,
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            (
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R "
                b"/Resources << /Font << /F 5 0 R >> >> /Annots [%s] >>" % numbers
            ),
            b"<< /Length %d >> stream\n%s\nendstream" % (len(shown), shown),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *annotations,
        ],
        root=1,
    )


def comment(kind: bytes, text: bytes, more: bytes = b"") -> bytes:
    return b"<< /Type /Annot /Subtype /%s /Rect [200 490 240 520] /Contents (%s) %s >>" % (
        kind,
        text,
        more,
    )


async def test_values_of_a_form_are_text_and_fields_of_their_page(
    bench: Bench, album: Path
) -> None:
    (album / "form.pdf").write_bytes(pdf(form))
    summary = await bench.ingest("album")
    assert summary.readings == {"form": 1}
    passages = await bench.rows("SELECT kind, text, page FROM sightline.content_passage")
    fields = {text for kind, text, page in passages if (kind, page) == ("field", 1)}
    assert fields == {"applicant: Wilhelmina Overbeek", "agrees: Yes [x]"}
    page = "\n".join(text for kind, text, _ in passages if kind == "page_text")
    assert "Name of applicant: Wilhelmina Overbeek" in page
    assert "Agrees: [x]" in page
    assert not [text for _, text, _ in passages if "s3cret" in text]


def test_values_of_a_form_are_drawn_at_their_boxes() -> None:
    filled, empty = pdf(form), pdf(lambda canvas: form(canvas, value=""))
    (box,) = [
        box for text, box, _ in page_lines(filled, 1, IngestOptions()) if "Wilhelmina" in text
    ]
    pictures = [np.asarray(render_page_part(data, 1, box, 400), int) for data in (filled, empty)]
    assert np.abs(pictures[0] - pictures[1]).mean() > 2


async def test_comments_are_notes_with_their_place(bench: Bench, album: Path) -> None:
    data = annotated(
        [
            comment(b"Text", b"reject this clause", b"/T (Hanna)"),
            comment(b"FreeText", b"approved", b"/DA (/F 10 Tf)"),
            comment(b"Highlight", b"check with legal"),
            comment(b"Text", b"not shown to anyone", b"/F 2"),
            comment(b"Popup", b"a copy"),
            b"<< /Type /Annot /Subtype /Text /Rect [900 900 950 950] /Contents (off) >>",
        ]
    )
    (album / "notes.pdf").write_bytes(data)
    await bench.ingest("album")
    notes = await bench.rows(
        "SELECT text, page, x0, y0 FROM sightline.content_passage WHERE kind = 'note'"
    )
    assert {row[0] for row in notes} == {
        "Hanna: reject this clause",
        "approved",
        "check with legal",
    }
    for _, page, x0, y0 in notes:
        assert page == 1
        assert x0 == pytest.approx(200 / 420, abs=0.01)
        assert y0 == pytest.approx(75 / 595, abs=0.02)


async def test_title_and_outline_are_searched(bench: Bench, album: Path) -> None:
    def chapter(canvas: Canvas) -> None:
        canvas.setTitle("Pump maintenance")
        canvas.setAuthor("Jan Bakker")
        canvas.bookmarkPage("one")
        canvas.addOutlineEntry("Lubrication intervals", "one")
        canvas.rect(100, 100, 200, 200, fill=1)

    (album / "pump.pdf").write_bytes(pdf(chapter))
    (album / "plain.pdf").write_bytes(pdf(lambda canvas: canvas.rect(1, 1, 9, 9, fill=1)))
    await bench.ingest("album")
    rows = await bench.rows("SELECT kind, text FROM sightline.content_passage")
    found = dict(rows)
    assert found.keys() == {"caption", "metadata"}
    assert "Pump maintenance" in found["caption"]
    assert "Lubrication intervals" in found["caption"]
    assert found["metadata"] == "Jan Bakker"


@pytest.mark.parametrize(
    "data",
    [
        annotated([comment(b"Text", b"x" * 200)] * 3_000),
        annotated([comment(b"Text", b"x" * 100_000)]),
        annotated([b"<< /Type /Annot /Subtype /Widget /Parent 6 0 R /FT /Tx /Rect [0 0 1e9 1] >>"]),
        annotated([], b"/Outlines 1 0 R /First 1 0 R /Next 1 0 R /Title (loop)"),
        annotated(
            [comment(b"Widget", b"", b"/FT /Tx /T (a) /V (b) /AA << /K 7 0 R >>"),
             b"<< /S /JavaScript /JS (app.alert\\(1\\); while\\(true\\){}) >>"],
            b"/AcroForm << /Fields [6 0 R] /NeedAppearances true >> /OpenAction 7 0 R",
        ),
    ],
    ids=["many", "long", "loop", "outline loop", "script"],
)  # fmt: skip
async def test_a_hostile_document_is_added_within_the_limits(
    bench: Bench, album: Path, data: bytes
) -> None:
    (album / "bomb.pdf").write_bytes(data)
    summary = await bench.ingest("album", file_timeout_seconds=20)
    assert (summary.added, summary.images) == (1, 1)
    ((chars,),) = await bench.rows(
        "SELECT coalesce(sum(length(text)), 0) FROM sightline.content_passage"
    )
    assert chars <= IngestOptions().max_text_chars(len(data))
