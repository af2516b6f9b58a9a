"""The columns of a CSV table are numbers, booleans, dates or text, over all of its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.ingest.discover.caption_tables import parse_caption_table
from sightline.storage.ingest.plain_text.column_types import ColumnTypes
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import fill


def column(*cells: str) -> list[Any]:
    """Return the values of a column; an empty cell gives None."""
    types = ColumnTypes(["value"], ())
    for cell in cells:
        types.add([cell])
    return [types.convert([cell]).get("value") for cell in cells]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.50", "-3", "0", " 4 "], [1, 2.5, -3, 0, 4]),
        (["0.5", ".5", "-.25"], [0.5, 0.5, -0.25]),
        (["1.5e-03", "1e+20"], [0.0015, 1e20]),
        (["", "5", " "], [None, 5, None]),
        (["123456789012345", "1"], [123456789012345, 1]),
        (["true", "FALSE", "Yes", "no"], [True, False, True, False]),
        (["2024-05-03", "2024-12-31"], ["2024-05-03", "2024-12-31"]),
        (
            ["2024-05-03", "2024-05-03 17:05", "2024-05-03T17:05:09.5"],
            ["2024-05-03", "2024-05-03T17:05:00", "2024-05-03T17:05:09.500000"],
        ),
        (
            ["2024-05-03T17:00:00+02:00", "2024-05-03T16:00Z"],
            ["2024-05-03T15:00:00Z", "2024-05-03T16:00:00Z"],
        ),
        (["1.299,00", "5", "1.299"], [1299.0, 5, 1299]),
        (["1,299.00", "5", "1,299"], [1299.0, 5, 1299]),
        (["1,5", "2"], [1.5, 2]),
        (["1.234.567", "12"], [1234567, 12]),
        (["1'299.50", "7"], [1299.5, 7]),
        (["1\u202f299,50", "7"], [1299.5, 7]),
        (["-5,50 €", "€ 1.000", "7"], [-5.5, 1000, 7]),
        (["$5", "6"], [5, 6]),
        (["12.50 EUR", "CHF 3"], ["12.50 EUR", "CHF 3"]),
        (["5 %", "12,5%"], [5, 12.5]),
        (["ja", "Nein"], [True, False]),
        (["2024-05-03", "03.05.2024"], ["2024-05-03", "2024-05-03"]),
        (["13/5/2024", "1/2/2024"], ["2024-05-13", "2024-02-01"]),
        (["5/13/2024", "1/2/2024"], ["2024-05-13", "2024-01-02"]),
    ],
)
def test_a_column_of_one_type_has_it(cells: list[str], values: list[Any]) -> None:
    found = column(*cells)
    assert found == values
    assert [type(each) for each in found] == [type(each) for each in values]


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "12"],
        ["+49", "12"],
        ["1234567890123456"],
        ["0.1234567890123456"],
        ["10115", "D-10115"],
        ["555-0199", "5550199"],
        ["1,000"],
        ["1e5", "3"],
        ["5.", "3"],
        ["NaN", "1"],
        ["inf"],
        ["0x1F"],
        ["٣"],
        ["n/a", "6"],
        ["true", "1"],
        ["yes", "maybe"],
        ["y", "n"],
        ["2024-02-30"],
        ["2024-05-03", "2024"],
        ["2024-05-03T17:00:00Z", "2024-05-03T17:00:00"],
        ["0001-01-01T00:00:00+14:00"],
        ["17:00"],
        ["red", "5"],
        ["$5", "€6"],
        ["5 %", "6"],
        ["12 345"],
        ["1.5", "1,5"],
        ["1/2/2024"],
        ["31.02.2024"],
        ["192.168.1.1"],
    ],
)
def test_other_columns_keep_their_text(cells: list[str]) -> None:
    assert column(*cells) == cells


def test_the_other_columns_decide_whether_a_point_separates_thousands() -> None:
    types = ColumnTypes(["amount", "rate"], ())
    rows = [["1.299", "2,5"], ["12.500", "3"]]
    for row in rows:
        types.add(row)
    assert [types.convert(row) for row in rows] == [
        {"amount": 1299, "rate": 2.5},
        {"amount": 12500, "rate": 3},
    ]


def test_one_text_after_many_numbers_makes_the_whole_column_text() -> None:
    cells = [str(number) for number in range(1000)]
    assert column(*cells)[-1] == 999
    assert column(*cells, "out of stock")[:2] == ["0", "1"]


def test_known_columns_are_text_in_any_case() -> None:
    data = b"File_Name,Caption,captured_at,name,price\n7.jpg,12,2024,5,1\n"
    table = parse_caption_table("metadata.csv", data, 1000, _fail)
    row = table.lookup("7.jpg", _fail)
    assert row is not None
    assert (row.caption, row.captured_at) == ("12", "2024")
    assert row.metadata == {"name": "5", "price": 1}


def test_rows_that_are_left_out_do_not_change_a_type() -> None:
    data = b"file_name,price\na.jpg,1\na.jpg,unknown\n,none\nb.jpg,2,x\n"
    warned: list[str] = []
    table = parse_caption_table("metadata.csv", data, 1000, lambda *each: warned.append(each[2]))
    row = table.lookup("a.jpg", _fail)
    assert row is not None
    assert row.metadata == {"price": 1}
    assert len(warned) == 3


def test_json_lines_keep_the_types_of_their_values() -> None:
    rows = [{"file_name": "a.jpg", "code": "7"}, {"file_name": "b.jpg", "code": 7}]
    data = "\n".join(map(json.dumps, rows)).encode()
    table = parse_caption_table("metadata.jsonl", data, 1000, _fail)
    found = [table.lookup(name, _fail) for name in ("a.jpg", "b.jpg")]
    assert [each.metadata["code"] for each in found if each] == ["7", 7]


@pytest.mark.timeout(20)
def test_wide_tables_take_linear_time() -> None:
    """Neither short rows under a wide header nor one new text column per row repeat its width."""
    wide = "file_name" + ",a" * 100_000 + "\n"
    short = "".join(f"{number}.jpg,1\n" for number in range(100_000))
    table = parse_caption_table("metadata.csv", (wide + short).encode(), 1 << 20, _ignore)
    assert len(table.rows) == 100_000
    types = ColumnTypes([str(number) for number in range(100_000)], ())
    for number in range(3_000):
        types.add(["1"] * number + ["x"])
    assert types.convert(["1", "1"]) == {"0": "1", "1": "1"}


async def test_typed_metadata_are_stored_and_a_second_ingest_changes_nothing(
    bench: Bench, album: Path
) -> None:
    fill(album, 3)
    table = "file_name,price,sold,added,code\n" + "".join(
        f"000{number}.jpg,{number * 60},{sold},2024-05-0{number + 1},00{number}\n"
        for number, sold in enumerate(("no", "yes", "Yes"))
    )
    (album / "metadata.csv").write_text(table)
    assert (await bench.ingest("album")).added == 3
    query = "SELECT metadata FROM sightline.asset ORDER BY metadata ->> 'code'"
    stored = [row[0] for row in await bench.rows(query)]
    assert stored[1] == {"price": 60, "sold": True, "added": "2024-05-02", "code": "001"}
    assert (await bench.ingest("album")).unchanged == 3
    # A text in one row changes the type of its column, so every row changes.
    (album / "metadata.csv").write_text(table.replace(",120,", ",unknown,"))
    assert (await bench.ingest("album")).updated == 3
    prices = [row[0]["price"] for row in await bench.rows(query)]
    assert prices == ["0", "60", "unknown"]


def _fail(code: str, name: str, reason: str) -> None:
    raise AssertionError((code, name, reason))


def _ignore(code: str, name: str, reason: str) -> None:
    pass
