"""OCR may fail or hang: the image is ingested without its text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests.storage.ingest.conftest import Bench
from tests.support.faulty_preprocessing import DangerousReader
from tests.support.media import pdf

RED, GREEN = (220, 20, 20), (20, 180, 40)
READ = "SELECT s.name, a.ordinal, p.text FROM sightline.passage AS p "
READ += "JOIN sightline.asset AS a ON a.id = p.asset_id JOIN sightline.source AS s "
READ += "ON s.id = a.source_id WHERE p.kind = 'ocr' ORDER BY 1, 2"


def scanned(*colours: tuple[int, int, int]) -> bytes:
    """Return a PDF whose pages are images, as scanners write it."""

    def page(color: tuple[int, int, int]):  # type: ignore[no-untyped-def]
        content = io.BytesIO()
        Image.new("RGB", (40, 60), color).save(content, "PNG")
        return lambda canvas: draw(canvas, content)

    def draw(canvas: Canvas, content: io.BytesIO) -> None:
        canvas.drawImage(ImageReader(content), 0, 0, 500, 700)

    return pdf(*map(page, colours))


@pytest.mark.parametrize("does", ["crash", "hang"])
async def test_an_image_whose_ocr_fails_is_added_and_ocr_is_retried_by_the_next_run(
    bench: Bench, album: Path, does: Literal["crash", "hang"]
) -> None:
    Image.new("RGB", (200, 200), RED).save(album / "red.png")
    Image.new("RGB", (200, 200), GREEN).save(album / "green.png")
    bench.ocr_engine = DangerousReader(does)
    summary = await bench.ingest("album", ocr="on", file_timeout_seconds=6)
    assert (summary.added, summary.failed, summary.images) == (2, 0, 2)
    ((name, reason),) = summary.warnings["ocr_failed"].examples
    assert name == "album/red.png"
    assert "the next run retries it" in reason
    assert await bench.rows(READ) == [("album/green.png", 0, "what stands there")]
    before = await bench.rows("SELECT id, created_at FROM sightline.asset ORDER BY id")
    bench.ocr_engine = DangerousReader("nothing")
    again = await bench.ingest("album", ocr="on")
    assert (again.updated, again.unchanged, again.images) == (1, 1, 0)
    assert [row[0] for row in await bench.rows(READ)] == ["album/green.png", "album/red.png"]
    assert await bench.rows("SELECT id, created_at FROM sightline.asset ORDER BY id") == before
    assert (await bench.ingest("album", ocr="on")).unchanged == 2


async def test_one_page_whose_ocr_fails_does_not_affect_the_others(
    bench: Bench, album: Path
) -> None:
    (album / "scan.pdf").write_bytes(scanned(GREEN, RED, GREEN))
    bench.ocr_engine = DangerousReader("crash")
    summary = await bench.ingest("album", ocr="on")
    assert (summary.added, summary.images) == (1, 3)
    assert [row[1] for row in await bench.rows(READ)] == [0, 2]
    assert await bench.rows("SELECT ocr_engine FROM sightline.source") == [("late: dangerous",)]


async def test_repeated_ocr_failures_disable_ocr_of_the_source(bench: Bench, album: Path) -> None:
    (album / "scan.pdf").write_bytes(scanned(*[RED] * 6, GREEN))
    bench.ocr_engine = DangerousReader("crash")
    summary = await bench.ingest("album", ocr="on")
    assert (summary.added, summary.images) == (1, 7)
    assert summary.warnings["ocr_failed"].count == 4
    assert await bench.rows(READ) == []
