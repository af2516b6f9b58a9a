"""Quoted words are located on an image as search_text finds them in its text."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.db.pool import Database
from sightline.storage.records.assets import AssetTextLine
from sightline.storage.text.analyzer import analyze
from sightline.storage.text.phrases import parse_phrase
from sightline.storage.types import Box
from sightline.tools.vlm.phrase_grounding import locate_text
from tests.support.media import pdf
from tests.tools.toolbox import ToolEnvironment

HEIGHT = 0.04
SIZE = (1000, 2000)


def line(text: str, x: float, row: float, width: float = 0.2) -> AssetTextLine:
    """Return a line of text; rows are 0.05 apart."""
    return AssetTextLine(text, (x, row * 0.05, x + width, row * 0.05 + HEIGHT))


def box(x0: float, row: float, x1: float) -> Box:
    return pytest.approx((x0, row * 0.05, x1, row * 0.05 + HEIGHT))  # type: ignore[return-value]


RECEIPT = (
    line("Burger King", 0.3, 0),
    line("Subtotal", 0.1, 2),
    line("28.10", 0.7, 2),
    line("Total", 0.1, 3),
    line("30.90", 0.7, 3),
    line("Thank you for your", 0.1, 5, 0.5),
    line("visit, come again", 0.1, 6, 0.5),
)


def boxes(words: str, lines: tuple[AssetTextLine, ...]) -> list[Box]:
    location = locate_text(words, lines, SIZE)
    assert location.origin == "text"
    assert (location.status == "found") == bool(location.boxes)
    return [each.box for each in location.boxes]


@pytest.mark.parametrize("words", ["Total 30.90", "total: 30.90", "TOTAL  30.90!", "Totals 30.90"])
def test_a_row_that_ocr_split_has_one_box(words: str) -> None:
    assert boxes(words, RECEIPT) == [box(0.1, 3, 0.9)]


def test_a_row_is_found_although_its_lines_are_in_the_wrong_order() -> None:
    swapped = (*RECEIPT[:3], RECEIPT[4], RECEIPT[3], *RECEIPT[5:])
    assert boxes("Total 30.90", swapped) == [box(0.1, 3, 0.9)]


def test_words_of_one_line_have_the_box_of_the_line() -> None:
    assert boxes("burger", RECEIPT) == [box(0.3, 0, 0.5)]
    found = locate_text("king", RECEIPT, SIZE)
    assert found.boxes[0].pixels == (300, 0, 500, 80)


def test_a_phrase_that_continues_in_the_next_row_has_a_box_for_each() -> None:
    assert boxes("your visit", RECEIPT) == [box(0.1, 5, 0.6), box(0.1, 6, 0.6)]


@pytest.mark.parametrize(
    "words", ["30.90 Total", "Total 28.10", "Total", "tot", "King Total", "30", "0.90", "!?"]
)
def test_other_words_are_not_found(words: str) -> None:
    expected = [box(0.1, 3, 0.3)] if words == "Total" else []
    assert boxes(words, RECEIPT) == expected
    if not expected:
        assert locate_text(words, RECEIPT, SIZE).notes == (
            "no line that was read on this image contains these words",
        )


def test_each_occurrence_has_a_box() -> None:
    lines = tuple(
        each for row in range(4) for each in (line("Item", 0.1, row), line("4.20", 0.6, row))
    )
    assert boxes("item 4.20", lines) == [box(0.1, row, 0.8) for row in range(4)]


def test_a_phrase_in_a_column_continues_below() -> None:
    columns = (
        line("The lease ends on", 0.05, 0, 0.4),
        line("Rent is paid in", 0.55, 0, 0.4),
        line("the last of June", 0.05, 1, 0.4),
        line("advance by bank", 0.55, 1, 0.4),
    )
    assert boxes("ends on the last", columns) == [box(0.05, 0, 0.45), box(0.05, 1, 0.45)]
    assert boxes("paid in advance", columns) == [box(0.55, 0, 0.95), box(0.55, 1, 0.95)]
    assert boxes("paid in bank", columns) == []


def test_the_line_below_counts_only_if_the_words_are_nowhere_in_a_row() -> None:
    table = (
        line("Total", 0.7, 0),
        line("30.90", 0.7, 1),
        line("Total", 0.1, 4),
        line("30.90", 0.7, 4),
    )
    assert boxes("Total 30.90", table) == [box(0.7, 0, 0.9), box(0.7, 1, 0.9), box(0.1, 4, 0.9)]
    shuffled = (table[1], table[2], table[3], table[0])  # the column is not in reading order
    assert boxes("Total 30.90", shuffled) == [box(0.1, 4, 0.9)]


def test_chinese_matches_by_characters_also_over_lines() -> None:
    lines = (
        line("合计", 0.1, 0),
        line("人民币 30.90", 0.6, 0),
        line("谢谢惠", 0.1, 1),
        line("顾", 0.1, 2),
    )
    assert boxes("合计人民币", lines) == [box(0.1, 0, 0.8)]
    assert boxes("计 人", lines) == [box(0.1, 0, 0.8)]
    assert boxes("谢谢惠顾", lines) == [box(0.1, 1, 0.3), box(0.1, 2, 0.3)]
    assert boxes("人民币30.90", lines) == [box(0.6, 0, 0.8)]
    assert boxes("惠谢", lines) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["Subtotal", "28.10"], ["Total", "30.90"]], "Total 30.90"),
        ([["Subtotal", "28.10"], ["Total", "30.90"]], "28.10 Total"),
        ([["Total", "€", "30.90"]], "Total 30.90"),
        ([["Total due:", "30.90"]], "Total 30.90"),
        ([["Price 1,299.00"], ["per piece"]], "1299 per"),
        ([["Price 1,299.00"], ["per piece"]], "price 1299.00"),
        ([["HS-4420 heat"], ["sinks"]], "hs4420 heat sink"),
        ([["HS-4420 heat"], ["sinks"]], "4420 heat"),
        ([["Café", "crème"]], "cafe creme"),
        ([["red 汽车 van"]], "red van"),
        ([["C++", "11"]], "c 11"),
        ([["合计", "30.90"]], "合计 30"),
    ],
)
async def test_words_match_as_in_search_text(
    database: Database, rows: list[list[str]], words: str
) -> None:
    lines = tuple(
        line(text, 0.3 * place, row)
        for row, texts in enumerate(rows)
        for place, text in enumerate(texts)
    )
    passage = "\n".join(" ".join(texts) for texts in rows)
    phrase = parse_phrase(words)
    assert phrase is not None
    if phrase.words is None:
        expected = str(phrase.characters) in "".join(passage.split())
    else:
        async with database.connection() as connection:
            cursor = await connection.execute(
                "SELECT %s::tsvector @@ %s::tsquery", [analyze(passage).tsvector, phrase.words]
            )
            ((expected,),) = await cursor.fetchall()
    assert bool(boxes(words, lines)) == expected


def test_more_than_twenty_boxes_are_not_drawn() -> None:
    location = locate_text("item", tuple(line("Item", 0.1, row / 3) for row in range(40)), SIZE)
    assert len(location.boxes) == 20
    assert location.notes == ("there may be more; the first 20 boxes are drawn",)


def test_a_text_layer_gives_the_box_of_the_paragraph() -> None:
    area = (0.1, 0.2, 0.9, 0.4)
    page = (AssetTextLine("Total\n30.90 EUR", None, area), AssetTextLine("Page 1", None))
    assert boxes("total 30.90", page) == [area]
    assert locate_text("page", page[1:], SIZE).notes == (
        "no text was read on this image at ingest",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [("a " * 50, "a " * 63 + "b"), ("一" * 100, "一" * 199 + "二"), ("a", "a " * 64), ("a", "a b")],
)
def test_hostile_lines_take_limited_time(text: str, words: str) -> None:
    lines = tuple(
        AssetTextLine(text, (0.001 * (n % 900), 0.001 * (n // 9), 0.1 + 0.001 * (n % 900), 0.9))
        for n in range(5_000)
    )
    started = time.process_time()
    location = locate_text(words, lines, SIZE)
    assert time.process_time() - started < 4
    assert location.status in ("found", "absent")


async def test_quoted_words_are_drawn_on_an_image_without_a_model(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        async with tools.database.connection() as connection:
            for ordinal, each in enumerate(RECEIPT):
                assert each.box is not None
                await connection.execute(
                    "INSERT INTO region (asset_id, kind, ordinal, x0, y0, x1, y1, label) "
                    "VALUES (%s, 'ocr_line', %s, %s, %s, %s, %s, %s)",
                    [asset, ordinal, *each.box, each.text],
                )
        result, (picture,) = await tools.call_with_images(
            "annotate_image", asset=asset, phrases=['"Total 30.90"', "“Burger King”", '"tax"']
        )
    assert [(each["label"], each["origin"]) for each in result["boxes"]] == [
        ("Total 30.90", "text"),
        ("Burger King", "text"),
    ]
    assert result["boxes"][0]["box"] == box(0.1, 3, 0.9)
    assert [each["status"] for each in result["phrases"]] == ["found", "found", "absent"]
    assert picture.size == (1024, 683)


def bill(canvas: Canvas) -> None:
    for row, (left, right) in enumerate(
        [("Subtotal", "28.10"), ("Tax", "2.80"), ("Total", "30.90")]
    ):
        canvas.drawString(50, 500 - 14 * row, left)
        canvas.drawString(300, 500 - 14 * row, right)


async def test_quoted_words_are_located_in_the_text_layer_of_a_page(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "bill.pdf").write_bytes(pdf(bill))
    request = {"phrases": ['"Total 30.90"'], "inline": False}
    async with empty_environment.replace(roots=(folder,)).serve() as tools:
        await tools.call("add_images", collection="album", paths=[str(folder)])
        (asset,) = (await tools.ids()).values()
        result = await tools.call("annotate_image", asset=asset, **request)
        (folder / "bill.pdf").unlink()
        gone = await tools.call("annotate_image", asset=asset, **request)
    (found,), (paragraph,) = result["boxes"], gone["boxes"]
    x0, y0, x1, y1 = found["box"]
    assert (x0, x1) == (pytest.approx(50 / 420, abs=0.01), pytest.approx(0.79, abs=0.03))
    assert y0 < 1 - 472 / 595 < y1 < y0 + 0.03
    assert paragraph["box"][0] == pytest.approx(x0)
    assert paragraph["box"][1] < y0 - 0.03
    assert paragraph["box"][3] == pytest.approx(y1)
