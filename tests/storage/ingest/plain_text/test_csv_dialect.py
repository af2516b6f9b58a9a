"""The separator, quotes and header of a table are found in its rows."""

from __future__ import annotations

import pytest

from sightline.storage.ingest.decode.worker.text_files import parse_rows
from sightline.storage.ingest.discover.caption_tables import parse_caption_table
from sightline.storage.ingest.plain_text.csv_dialect import sniff_dialect


def rows_of(text: str, suffix: str = ".csv") -> list[str]:
    return [each.text for each in parse_rows(text, suffix, 1_000)]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("name,price\nnail,5\n", ["name: nail\nprice: 5"]),
        ("name;price\nnail;1,5\nbolt;2,5\n", ["name: nail\nprice: 1,5", "name: bolt\nprice: 2,5"]),
        ("name\tprice\nnail, long\t5\n", ["name: nail, long\nprice: 5"]),
        ("name|price\nnail|5\n", ["name: nail\nprice: 5"]),
        ("sep=;\r\nname;price\r\nnail;5\r\n", ["name: nail\nprice: 5"]),
        ('"sep=,"\nname,note\nnail,a;b;c\n', ["name: nail\nnote: a;b;c"]),
        # Sentences with more commas than the rows have semicolons.
        (
            "id;note\n1;one, two, three, four\n2;five, six, seven\n",
            ["id: 1\nnote: one, two, three, four", "id: 2\nnote: five, six, seven"],
        ),
        ("id,tags\n1,a;b\n2,c;d\n", ["id: 1\ntags: a;b", "id: 2\ntags: c;d"]),
        ('id;text\n1;"two\nlines; and ""more"""\n', ['id: 1\ntext: two\nlines; and "more"']),
        ('id,text\n1,"a \\"b\\" c"\n2,"d"\n', ['id: 1\ntext: a "b" c', "id: 2\ntext: d"]),
        # A quote that is never closed is an inch sign.
        ('id;size\n1;"5 inch\n2;7\n', ['id: 1\nsize: "5 inch', "id: 2\nsize: 7"]),
        # A first row of numbers or dates is data.
        ("2024-01-01;12,5\n2024-01-02;13\n", ["2024-01-01\n12,5", "2024-01-02\n13"]),
        ("1,nail\n2,bolt\n", ["1\nnail", "2\nbolt"]),
        ("region,2019,2020\nnorth,5,7\n", ["region: north\n2019: 5\n2020: 7"]),
        # A title above the header.
        (
            "Statement of May\n\nDate;Amount;For\n03.05.2024;1.299,00;rent\n04.05.2024;5,00;tea\n",
            [
                "Statement of May",
                "Date: 03.05.2024\nAmount: 1.299,00\nFor: rent",
                "Date: 04.05.2024\nAmount: 5,00\nFor: tea",
            ],
        ),
        ("a\nx\ny\n", ["a: x", "a: y"]),
    ],
)
def test_rows_have_the_names_of_their_columns(text: str, rows: list[str]) -> None:
    assert rows_of(text) == rows


def test_offsets_count_the_lines_above_the_table() -> None:
    text = "sep=;\r\nname;price\r\nnail;5\r\nbolt;6\r\n"
    places = [each.chars for each in parse_rows(text, ".csv", 10)]
    assert [text[slice(*each)] for each in places if each] == ["nail;5\r\n", "bolt;6\r\n"]


def test_a_caption_table_of_excel_is_read() -> None:
    table = "sep=;\r\nfile_name;caption;price\r\na.jpg;Käufer;1.299,00\r\n".encode("cp1252")
    warned: list[str] = []
    parsed = parse_caption_table("metadata.csv", table, 1_000, lambda *each: warned.append(each[0]))
    row = parsed.lookup("a.jpg", lambda *_: None)
    assert row is not None
    assert (row.caption, row.metadata) == ("Käufer", {"price": 1299.0})
    assert warned == []


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text", ['"' * 2_000_000, ";" * 2_000_000, 'a;"' * 700_000, "a,b\n" + '"' + "x,\n" * 700_000]
)
def test_a_hostile_table_is_sniffed_in_bounded_time(text: str) -> None:
    sniff_dialect(text)
