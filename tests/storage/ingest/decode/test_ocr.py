"""OCR with the real engine: text becomes regions and passages."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageOps
from PIL.ImageFont import load_default, truetype

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.errors import ConfigurationError
from sightline.storage.ingest.decode.ocr_layout import group_lines, normalize_box
from sightline.storage.ingest.decode.render.fonts import LabelFont, label_font
from sightline.storage.interfaces import OcrLine
from sightline.storage.records import collections
from tests.storage.ingest.conftest import Bench
from tests.support.media import sign
from tests.support.sample_images import fill


@pytest.fixture
def ocr_bench(bench: Bench) -> Bench:
    bench.ocr_engine = load_ocr_engine()
    return bench


async def test_lines_become_regions_and_one_passage_with_a_box(
    ocr_bench: Bench, album: Path
) -> None:
    sign(album / "receipt.png", "HARBOUR HARDWARE", "Date 14/03/2018", "Total 30.90")
    summary = await ocr_bench.ingest("album", ocr="on")
    assert (summary.added, summary.passages) == (1, 1)
    assert summary.stages["ocr"] > 0
    regions = await ocr_bench.rows(
        "SELECT label, y0, y1, score FROM sightline.region WHERE kind = 'ocr_line' ORDER BY ordinal"
    )
    assert [row[0] for row in regions] == ["HARBOUR HARDWARE", "Date 14/03/2018", "Total 30.90"]
    assert 0.05 < regions[0][1] < regions[0][2] < 0.35
    assert all(row[3] > 0.8 for row in regions)
    ((kind, text, x0, y1, confidence, asset),) = await ocr_bench.rows(
        "SELECT kind, text, x0, y1, confidence, asset_id FROM sightline.content_passage"
    )
    assert (kind, text) == ("ocr", "HARBOUR HARDWARE\nDate 14/03/2018\nTotal 30.90")
    assert 0 < x0 < 0.1
    assert y1 == regions[2][2]
    assert confidence > 0.8
    assert asset is not None


async def test_auto_skips_images_without_text(ocr_bench: Bench, album: Path) -> None:
    fill(album, 2)
    sign(album / "sign.png", "NO PARKING")
    await ocr_bench.ingest("album", ocr="auto")
    assert await ocr_bench.rows("SELECT text FROM sightline.content_passage") == [("NO PARKING",)]


async def test_ocr_text_is_added_to_existing_images_without_encoding_them_again(
    ocr_bench: Bench, album: Path
) -> None:
    sign(album / "sign.png", "NO PARKING")
    (album / "sign.txt").write_text("a sign")
    await ocr_bench.ingest("album")
    before = await ocr_bench.rows("SELECT id, created_at FROM sightline.asset")
    added = await ocr_bench.ingest("album", ocr="auto")
    assert (added.updated, added.images) == (1, 0)
    assert await ocr_bench.rows("SELECT id, created_at FROM sightline.asset") == before
    kinds = "SELECT kind, text FROM sightline.content_passage ORDER BY kind"
    assert await ocr_bench.rows(kinds) == [("caption", "a sign"), ("ocr", "NO PARKING")]
    assert (await ocr_bench.ingest("album", ocr="auto")).unchanged == 1
    again = await ocr_bench.ingest("album", ocr="on")  # more than auto promised
    assert again.updated == 1
    assert len(await ocr_bench.rows("SELECT id FROM sightline.region")) == 1
    assert len(await ocr_bench.rows(kinds)) == 2
    assert (await ocr_bench.ingest("album", ocr="auto")).unchanged == 1


async def test_a_changed_caption_keeps_the_ocr_text(ocr_bench: Bench, album: Path) -> None:
    sign(album / "sign.png", "NO PARKING")
    await ocr_bench.ingest("album", ocr="on")
    (album / "sign.txt").write_text("a sign")
    assert (await ocr_bench.ingest("album", ocr="on")).updated == 1
    kinds = "SELECT kind FROM sightline.content_passage ORDER BY kind"
    assert await ocr_bench.rows(kinds) == [("caption",), ("ocr",)]


async def test_the_setting_of_the_collection_has_priority(ocr_bench: Bench, album: Path) -> None:
    sign(album / "sign.png", "NO PARKING")
    async with ocr_bench.database.connection() as connection:
        await collections.ensure(connection, "album", {"ocr": "off"})
    assert (await ocr_bench.ingest("album", ocr="on")).passages == 0


async def test_ocr_without_an_engine_is_refused(bench: Bench, album: Path) -> None:
    fill(album, 1)
    with pytest.raises(ConfigurationError, match="there is no OCR engine"):
        await bench.ingest("album", ocr="on")
    with pytest.raises(ConfigurationError, match="use 'auto', 'on' or 'off'"):
        await bench.ingest("album", ocr="perhaps")


@pytest.mark.parametrize("degrees", [0, 8])
def test_the_box_of_an_ocr_line_fits_its_letters(degrees: int) -> None:
    drawn = Image.new("RGB", (640, 320), "white")
    ImageDraw.Draw(drawn).text((60, 120), "HOLE SPACING", "black", load_default(40))
    drawn = drawn.rotate(degrees, fillcolor="white")
    letters = ImageOps.invert(drawn.convert("L")).getbbox()
    assert letters is not None
    (line,) = load_ocr_engine().read(drawn).lines
    found = [edge * side for edge, side in zip(line.box, (640, 320) * 2, strict=True)]
    # With the margin that the detector leaves they are 7 and 9 pixels apart.
    assert max(abs(a - b) for a, b in zip(found, letters, strict=True)) < 4


async def test_a_scan_on_its_side_is_read_in_rows_with_boxes_in_its_own_frame(
    ocr_bench: Bench, album: Path
) -> None:
    picture = Image.new("RGB", (600, 300), "white")
    for number, (name, price) in enumerate([("Garden hose", "30.90"), ("Total", "43.40")]):
        for x, text in ((20, name), (440, price)):
            ImageDraw.Draw(picture).text((x, 60 + 100 * number), text, "black", load_default(36))
    picture.rotate(90, expand=True).save(album / "scan.png")
    await ocr_bench.ingest("album", ocr="auto")
    ((text,),) = await ocr_bench.rows("SELECT text FROM sightline.content_passage")
    assert text == "Garden hose 30.90\nTotal 43.40"
    lines = await ocr_bench.rows("SELECT x0, x1, y0, y1 FROM sightline.region ORDER BY ordinal")
    assert all(x1 - x0 < y1 - y0 for x0, x1, y0, y1 in lines)
    assert lines[0][2] > lines[1][3]  # the name is below the price


async def test_print_of_an_unknown_script_is_reported_and_not_stored(
    ocr_bench: Bench, album: Path
) -> None:
    picture = Image.new("RGB", (700, 320), "white")
    with label_font(LabelFont.ARABIC) as path:
        font = truetype(str(path), 40)
    for number, line in enumerate(
        ["فاتورة رقم", "المبلغ الإجمالي المستحق", "الدفع خلال ثلاثين يوما"]
    ):
        ImageDraw.Draw(picture).text((40, 30 + 90 * number), line, "black", font)
    picture.save(album / "scan.png")
    summary = await ocr_bench.ingest("album", ocr="auto")
    ((name, reason),) = summary.warnings["unreadable"].examples
    assert name == "album/scan.png"
    assert "script that no OCR model of this collection reads" in reason
    assert await ocr_bench.rows("SELECT reading FROM sightline.asset") == [("unreadable",)]
    assert await ocr_bench.rows("SELECT text FROM sightline.content_passage") == []


def test_lines_side_by_side_form_one_row() -> None:
    lines = [
        OcrLine("Total", (0.1, 0.5, 0.3, 0.55), 0.9),
        OcrLine("30.90", (0.7, 0.502, 0.8, 0.55), 0.9),
        OcrLine("Thank you", (0.1, 0.8, 0.4, 0.85), 0.6),
    ]
    (whole,) = group_lines(lines, paragraphs=False)
    assert whole.text == "Total 30.90\nThank you"
    assert whole.box == (0.1, 0.5, 0.8, 0.85)
    assert 0.6 < whole.confidence < 0.9
    assert [b.text for b in group_lines(lines, paragraphs=True)] == ["Total 30.90", "Thank you"]


def test_long_text_is_cut_between_rows() -> None:
    lines = [OcrLine("x" * 100, (0, n / 40, 1, (n + 0.9) / 40), 1.0) for n in range(40)]
    parts = group_lines(lines, paragraphs=False)
    assert len(parts) == 3
    assert all(len(part.text) <= 1500 for part in parts)


def test_a_box_without_an_area_is_widened() -> None:
    assert normalize_box((1, 1, 1, 1)) == (0.9999, 0.9999, 1.0, 1.0)
    assert normalize_box((0.5, 2, 0.2, -1)) == (0.2, 0.0, 0.5, 1.0)
    with pytest.raises(ValueError, match="not a box"):
        normalize_box((float("nan"), 0, 1, 1))
