"""OCR of turned, large, long and vertical pictures, with the real models."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sightline.server.models.ocr.line_detection import Deadline, detect_lines, print_marks
from sightline.server.models.ocr.line_reading import LineReader
from sightline.server.models.ocr.ocr_models import find_models
from sightline.server.models.ocr.rapid_ocr import RapidOcrEngine, load_ocr_engine
from sightline.server.models.ocr.text_models import BgrImage, RecognizedText, TextModels
from sightline.storage.interfaces import OcrReading

LINES = (
    "Invoice number 4711-ACME",
    "Total amount due 1,299.00 EUR",
    "Delivery to Garden Street 12",
)
SANS = str(files("sightline.training.world.fonts").joinpath("OpenSans-Regular.ttf"))
CASES = Path(__file__).parents[3] / "data" / "cases"
CJK = str(files("sightline.storage.ingest.decode.render.fonts").joinpath("NotoSansCJKsc-Bold.otf"))


@pytest.fixture(scope="module")
def engine() -> RapidOcrEngine:
    return load_ocr_engine()


def page(
    lines: Sequence[str] = LINES,
    *,
    size: tuple[int, int] = (640, 320),
    pixels: int = 32,
    font: str = SANS,
    at: tuple[int, int] = (30, 20),
) -> Image.Image:
    """Return black lines on white, one below the other."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    loaded = ImageFont.truetype(font, pixels)
    for number, line in enumerate(lines):
        draw.text((at[0], at[1] + 2 * pixels * number), line, "black", font=loaded)
    return image


def vertical(columns: Sequence[str], title: str = "") -> Image.Image:
    """Return columns of characters, the first at the right edge."""
    image = Image.new("RGB", (120 + 110 * len(columns), 620), "white")
    draw = ImageDraw.Draw(image)
    draw.text((20, 10), title, "black", font=ImageFont.truetype(CJK, 30))
    font = ImageFont.truetype(CJK, 44)
    for number, column in enumerate(columns):
        for place, character in enumerate(column):
            x, y = image.width - 110 * (number + 1), 80 + 50 * place
            draw.text((x, y), character, "black", font=font)
    return image


def texts(reading: OcrReading) -> list[str]:
    return [line.text for line in reading.lines]


def rows(reading: OcrReading) -> list[str]:
    """Return the rows, the lines beside each other separated by bars."""
    found: list[str] = []
    for line in reading.lines:
        if line.starts_row:
            found.append(line.text)
        else:
            found[-1] += f" | {line.text}"
    return found


@pytest.mark.parametrize("degrees", [90, 180, 270, 7, 187])
def test_a_turned_picture_reads_as_upright(engine: RapidOcrEngine, degrees: int) -> None:
    turned = page().rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    reading = engine.read(turned)
    assert texts(reading) == list(LINES)
    assert reading.problem is None
    assert min(line.confidence for line in reading.lines) > 0.9


def test_a_photographed_receipt_on_its_side_is_read(engine: RapidOcrEngine) -> None:
    with Image.open(CASES / "receipt_r90ccw.jpg") as picture:
        reading = engine.read(picture.convert("RGB"))
    assert {"80300 JOHOR BAHRU", "CASH", "RM 170.00"} <= set(rows(reading))
    assert np.mean([line.confidence for line in reading.lines]) > 0.9


def test_the_boxes_of_a_turned_picture_are_in_its_own_frame(engine: RapidOcrEngine) -> None:
    image = page(["HOLE SPACING", "4711"]).rotate(90, expand=True)
    ink = 255 - np.asarray(image.convert("L")).astype(int)
    for line in engine.read(image).lines:
        x0, y0, x1, y1 = np.array(line.box) * [*image.size, *image.size]
        inside = ink[int(y0) - 4 : int(y1) + 5, int(x0) - 4 : int(x1) + 5]
        down, across = np.nonzero(inside > 128)
        # The letters touch all four sides, within some pixels.
        gaps = [down.min(), across.min()]
        gaps += [inside.shape[0] - down.max(), inside.shape[1] - across.max()]
        assert max(gaps) <= 11
        ink[int(y0) - 4 : int(y1) + 5, int(x0) - 4 : int(x1) + 5] = 0
    assert not (ink > 128).any()


class _CountingModels(TextModels):
    lines = 0

    def recognize(self, crops: Sequence[BgrImage]) -> list[RecognizedText]:
        self.lines += len(crops)
        return super().recognize(crops)


def test_the_lines_of_an_upright_picture_are_read_once() -> None:
    models = _CountingModels(find_models())
    pixels = np.asarray(page([*LINES, *LINES], size=(640, 480)))
    found = detect_lines(models, pixels, Deadline(60))
    lines, turn = LineReader(models, pixels, found.quads, Deadline(60)).read_all()
    assert (len(lines), turn, models.lines) == (6, 0, 6)


def test_small_print_in_a_large_picture_is_read(engine: RapidOcrEngine) -> None:
    image = page(LINES[:2], size=(2600, 2000), pixels=18, at=(1800, 1800))
    assert engine.has_text(image)
    assert texts(engine.read(image)) == list(LINES[:2])


def test_a_single_small_line_on_a_large_sheet_is_read(engine: RapidOcrEngine) -> None:
    # The detector does not see it in the whole sheet, nor in a large part of it.
    image = page(["VALVE V-2041 DN50"], size=(1683, 2378), pixels=16, at=(160, 170))
    assert engine.has_text(image)
    assert texts(engine.read(image)) == ["VALVE V-2041 DN50"]


def test_each_line_of_a_long_screenshot_is_read_once_and_in_order(engine: RapidOcrEngine) -> None:
    lines = [f"Message {number} here" for number in range(300, 313)]
    image = Image.new("RGB", (320, 2400), "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((20, 40 + 182 * number), line, "black", ImageFont.truetype(SANS, 24))
    assert engine.has_text(image)
    assert texts(engine.read(image)) == lines
    assert texts(engine.read(image.rotate(90, expand=True))) == lines


def test_a_line_across_several_windows_is_read_once(engine: RapidOcrEngine) -> None:
    words = "The quick brown fox jumps over the lazy dog near the old stone bridge"
    image = page([words], size=(2400, 160), pixels=60, at=(40, 30))
    (line,) = engine.read(image).lines
    assert line.text == words
    assert line.box[0] < 0.03
    assert line.box[2] > 0.8


def test_vertical_columns_are_read_from_right_to_left(engine: RapidOcrEngine) -> None:
    columns = ["床前明月光疑是地上霜", "举头望明月低头思故乡"]
    assert texts(engine.read(vertical(columns))) == columns
    assert rows(engine.read(vertical(columns, title="标题"))) == ["标题", *columns]


def test_blocks_of_text_side_by_side_are_read_one_after_the_other(engine: RapidOcrEngine) -> None:
    left = ["The pump is started by", "the relay on the left", "panel after the valve"]
    right = ["Warranty ends when the", "seal of the housing is", "broken by anyone but"]
    image = page(left, size=(900, 260), pixels=26)
    image.paste(page(right, size=(420, 260), pixels=26), (480, 0))
    assert rows(engine.read(image)) == [*left, *right]


def test_the_rows_of_a_table_stay_together(engine: RapidOcrEngine) -> None:
    image = page(["Garden hose 20 m", "Watering can green", "Total amount"], size=(900, 260))
    image.paste(page(["30.90", "12.50", "43.40"], size=(200, 260)), (700, 0))
    assert rows(engine.read(image)) == [
        "Garden hose 20 m | 30.90",
        "Watering can green | 12.50",
        "Total amount | 43.40",
    ]


def test_print_that_is_too_small_is_reported(engine: RapidOcrEngine) -> None:
    image = page([*LINES, *LINES], size=(640, 240), pixels=4)
    reading = engine.read(image)
    assert (reading.lines, reading.problem) == ([], "small print")


def test_a_picture_without_print_has_no_problem(engine: RapidOcrEngine) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(noise).resize((960, 640), Image.Resampling.BICUBIC)
    assert engine.read(image) == OcrReading([])
    assert len(print_marks(np.asarray(image), np.zeros((0, 4, 2), np.float32))) == 0


def test_reading_stops_in_time(engine: RapidOcrEngine) -> None:
    assert engine.read(page(), max_seconds=0) == OcrReading([], "cut short")


def test_the_name_of_the_engine_says_which_models_read() -> None:
    name = load_ocr_engine().name
    assert "PP-OCRv6_rec_small" in name
