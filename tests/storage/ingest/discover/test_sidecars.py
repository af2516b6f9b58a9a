import json

import pytest

from sightline.storage.ingest.discover.caption_tables import Table, Tables, read_table
from sightline.storage.ingest.discover.sidecars import (
    Sidecar,
    from_mapping,
    merged,
    read_caption,
    read_object,
    sidecars_of,
)


class Reports(list[tuple[str, str, str]]):
    def __call__(self, code: str, name: str, reason: str) -> None:
        self.append((code, name, reason))


def table(name: str, text: str, reports: Reports | None = None) -> Table:
    return read_table(name, text.encode(), 10_000, reports if reports is not None else Reports())


def test_a_text_file_is_the_caption() -> None:
    assert read_caption("\ufeffTwo dogs\n".encode()) == Sidecar("Two dogs", {}, None)


def test_a_json_object_gives_caption_metadata_and_time() -> None:
    said = {
        "caption": "a cat",
        "captured_at": "2024-05-03",
        "tags": ["x"],
        "metadata": {"room": 7},
        "none": None,
    }
    expected = Sidecar("a cat", {"tags": ["x"], "room": 7}, "2024-05-03")
    assert read_object(json.dumps(said).encode()) == expected


@pytest.mark.parametrize(
    "data",
    [b"[1]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'{"captured_at": 5}', b"1" * 5000],
    ids=["list", "cut off", "NaN", "not UTF-8", "deep", "time is a number", "huge number"],
)
def test_what_is_no_usable_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_object(data)


def test_characters_that_postgres_cannot_keep_are_replaced() -> None:
    said = from_mapping({"caption": "a\0b", "k\0": ["\ud800", {"x": "\0"}]})
    assert said == Sidecar("ab", {"k": ["?", {"x": ""}]}, None)


def test_the_closer_sidecar_wins() -> None:
    near = Sidecar("near", {"a": 1}, None)
    far = Sidecar("far", {"a": 2, "b": 2}, "2024-01-01")
    assert merged([near, far]) == Sidecar("near", {"a": 1, "b": 2}, "2024-01-01")
    assert merged([]) is None


def test_the_key_changes_with_whatever_is_said_and_with_nothing_else() -> None:
    one = Sidecar("a", {"x": 1, "y": 2}, None)
    assert one.key == Sidecar("a", {"y": 2, "x": 1}, None).key
    others = [Sidecar("b", one.metadata, None), Sidecar("a", {}, None), Sidecar("a", {}, "2024")]
    assert len({one.key, *(other.key for other in others)}) == 4


def test_only_files_named_like_a_picture_are_its_sidecars() -> None:
    names = ["a.jpg", "a.txt", "a.json", "b.png", "b.png.txt", "notes.txt", "a.md"]
    assert sidecars_of(names) == {"a.jpg": ["a.txt", "a.json"], "b.png": ["b.png.txt"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "a.jpg", "text": "a cat", "room": "7"}\n'),
        ("metadata.csv", "file_name,text,room\na.jpg,a cat,7\n"),
        ("captions.csv", "\ufeffFile_Name,Caption,room\r\n./a.jpg,a cat,7\r\n"),
        ("captions.csv", 'caption,room,image\n"a cat",7,a.jpg\n'),
    ],
)
def test_tables_are_read_in_all_their_forms(name: str, text: str) -> None:
    assert table(name, text).lookup("a.jpg", Reports()) == Sidecar("a cat", {"room": "7"}, None)


def test_two_columns_without_a_header_are_file_and_caption() -> None:
    said = table("captions.csv", "a.jpg,a cat\nb.jpg,a dog\n")
    assert said.lookup("a.jpg", Reports()) == Sidecar("a cat", {}, None)
    assert said.lookup("b.jpg", Reports()) == Sidecar("a dog", {}, None)


def test_names_are_found_however_their_accents_are_composed() -> None:
    said = table("metadata.jsonl", '{"file_name": "cafe\u0301.jpg", "text": "x"}')
    assert said.lookup("caf\u00e9.jpg", Reports()) is not None


def test_broken_lines_are_reported_and_the_others_hold() -> None:
    reports = Reports()
    text = '{"file_name": "a.jpg", "text": "x"}\n{oops\n[]\n{"text": "y"}\n{"file_name": "a.jpg"}'
    said = table("metadata.jsonl", text, reports)
    assert list(said.rows) == ["a.jpg"]
    assert [reason.split(":")[0].split(" names")[0] for _, _, reason in reports] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]


def test_rows_too_many_columns_wide_or_too_long_are_reported() -> None:
    reports = Reports()
    said = table(
        "metadata.csv", f"file_name,text\na.jpg,x,y\nb.jpg,{'z' * 20_000}\nc.jpg,c\n", reports
    )
    assert list(said.rows) == ["c.jpg"]
    assert len(reports) == 2


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n"], ids=["empty", "names no file"])
def test_a_table_that_names_no_file_says_nothing(text: str) -> None:
    assert table("captions.csv", text).rows == {}


def test_tables_hold_for_the_folders_below_them() -> None:
    tables = Tables()
    tables.enter("", [table("metadata.jsonl", '{"file_name": "in/deep/a.jpg", "text": "far"}')])
    tables.enter("in", [])
    tables.enter("in/deep", [table("captions.csv", "a.jpg,near\n")])
    found = tables.lookup("in/deep/a.jpg", Reports())
    assert [said.caption for said in found] == ["near", "far"]
    tables.leave()
    assert tables.lookup("in/b.jpg", Reports()) == []


def test_columns_of_one_name_are_both_metadata_and_named() -> None:
    said: list[tuple[str, str, str]] = []
    text = b"file_name,colour,colour\n0000.jpg,red,green\n"
    table = read_table("metadata.csv", text, 1000, lambda *report: said.append(report))
    row = table.lookup("0000.jpg", lambda *report: said.append(report))
    assert row is not None
    assert row.metadata == {"colour": "red", "colour (2)": "green"}
    ((code, name, reason),) = said
    assert (code, name) == ("column_repeated", "metadata.csv")
    assert "'colour'" in reason
