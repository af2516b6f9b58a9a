import json
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.ingest.discover.caption_tables import (
    CaptionTable,
    CaptionTableStack,
    parse_caption_table,
)
from sightline.storage.ingest.discover.input_paths import resolve_inputs
from sightline.storage.ingest.discover.sidecar_names import sidecars_of
from sightline.storage.ingest.discover.sidecars import (
    Sidecar,
    merge_sidecars,
    parse_mapping,
    parse_sidecar,
)
from tests.support.discovery import discover


class Warnings(list[tuple[str, str, str]]):
    def __call__(self, code: str, name: str, reason: str) -> None:
        self.append((code, name, reason))


def table(name: str, text: str, warnings: Warnings | None = None) -> CaptionTable:
    return parse_caption_table(
        name, text.encode(), 10_000, warnings if warnings is not None else Warnings()
    )


def test_a_text_file_is_the_caption() -> None:
    assert parse_sidecar("a.txt", "\ufeffTwo dogs\n".encode()) == Sidecar("Two dogs", {}, None)


def test_a_json_object_gives_caption_metadata_and_time() -> None:
    parsed = {
        "caption": "a cat",
        "captured_at": "2024-05-03",
        "tags": ["x"],
        "metadata": {"room": 7},
        "none": None,
    }
    expected = Sidecar("a cat", {"tags": ["x"], "room": 7}, "2024-05-03")
    assert parse_sidecar("a.json", json.dumps(parsed).encode()) == expected


@pytest.mark.parametrize(
    "data",
    [b"[1]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b"1" * 5000],
    ids=["list", "cut off", "NaN", "not UTF-8", "deep", "huge number"],
)
def test_invalid_json_sidecars_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_sidecar("a.json", data)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", "é" * 65_537, "65,537 characters of caption; the limit is 65,536"),
        ("a.json", json.dumps({"caption": "x" * 70_000}), "70,000 characters of caption"),
        ("a.json", json.dumps({"k" * 70_000: 1}), "characters of metadata"),
        ("a.json", json.dumps({"key": ["x" * 9] * 9_000}), "characters of metadata"),
    ],
)
def test_texts_that_every_result_would_load_are_refused(name: str, data: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_sidecar(name, data.encode())
    whole = Sidecar("é" * 65_536, {}, None)
    assert parse_sidecar("a.txt", ("é" * 65_536).encode()) == whole


def test_characters_that_postgres_refuses_are_replaced() -> None:
    parsed = parse_mapping({"caption": "a\0b", "k\0": ["\ud800", {"x": "\0"}]})
    assert parsed == Sidecar("ab", {"k": ["?", {"x": ""}]}, None)


def test_the_closest_sidecar_wins() -> None:
    near = Sidecar("near", {"a": 1}, None)
    far = Sidecar("far", {"a": 2, "b": 2}, "2024-01-01")
    assert merge_sidecars([near, far]) == Sidecar("near", {"a": 1, "b": 2}, "2024-01-01")
    assert merge_sidecars([]) is None


@pytest.mark.parametrize(
    ("near", "far", "words"),
    [
        ({str(n): 1 for n in range(150)}, {str(n): 1 for n in range(100, 201)}, "201 metadata"),
        ({"near": "x" * 40_000}, {"far": "x" * 40_000}, "characters of metadata"),
    ],
)
def test_all_sidecars_of_a_file_have_the_limits_of_one(
    album: Path, near: dict[str, Any], far: dict[str, Any], words: str
) -> None:
    caption, time = {"caption": "a cat"}, {"captured_at": "2024-05-03"}
    row = {"file_name": "0000.jpg", **far, **time}
    (album / "0000.jpg").write_bytes(b"x")
    (album / "0000.txt").write_text("two dogs")
    (album / "0000.json").write_text(json.dumps({**near, **caption}))
    (album / "metadata.jsonl").write_text(json.dumps(row))
    warnings = Warnings()
    found = {file.name: file.sidecar for file in discover(resolve_inputs([album]), warnings)}
    assert found[str(album / "0000.jpg")] == Sidecar("two dogs", near, "2024-05-03")
    ((code, name, reason),) = warnings
    assert (code, name) == ("sidecar_broken", str(album / "0000.jpg"))
    assert words in reason


def test_the_hash_changes_only_with_the_content() -> None:
    one = Sidecar("a", {"x": 1, "y": 2}, None)
    assert one.sha256 == Sidecar("a", {"y": 2, "x": 1}, None).sha256
    others = [Sidecar("b", one.metadata, None), Sidecar("a", {}, None), Sidecar("a", {}, "2024")]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 4


def test_only_files_named_like_an_image_are_its_sidecars() -> None:
    names = ["a.jpg", "a.txt", "a.json", "b.png", "b.png.txt", "notes.txt", "a.md"]
    assert sidecars_of(names) == {"a.jpg": ["a.txt", "a.json"], "b.png": ["b.png.txt"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "a.jpg", "text": "a cat", "room": 7}\n'),
        ("metadata.csv", "file_name,text,room\na.jpg,a cat,7\n"),
        ("metadata.tsv", "file_name\ttext\troom\na.jpg\ta cat\t7\n"),
        ("captions.csv", "\ufeffFile_Name,Caption,room\r\n./a.jpg,a cat,7\r\n"),
        ("captions.csv", 'caption,room,image\n"a cat",7,a.jpg\n'),
    ],
)
def test_caption_tables_are_parsed_in_all_formats(name: str, text: str) -> None:
    assert table(name, text).lookup("a.jpg", Warnings()) == Sidecar("a cat", {"room": 7}, None)


def test_two_columns_without_a_header_are_file_name_and_caption() -> None:
    parsed = table("captions.csv", "a.jpg,a cat\nb.jpg,a dog\n")
    assert parsed.lookup("a.jpg", Warnings()) == Sidecar("a cat", {}, None)
    assert parsed.lookup("b.jpg", Warnings()) == Sidecar("a dog", {}, None)


def test_file_names_match_for_any_unicode_composition() -> None:
    parsed = table("metadata.jsonl", '{"file_name": "cafe\u0301.jpg", "text": "x"}')
    assert parsed.lookup("caf\u00e9.jpg", Warnings()) is not None


def test_broken_lines_are_warnings_and_the_others_are_used() -> None:
    warnings = Warnings()
    text = '{"file_name": "a.jpg", "text": "x"}\n{oops\n[]\n{"text": "y"}\n{"file_name": "a.jpg"}'
    parsed = table("metadata.jsonl", text, warnings)
    assert list(parsed.rows) == ["a.jpg"]
    assert [
        reason.split(":")[0].split(" has no")[0].split(" repeats")[0] for _, _, reason in warnings
    ] == [
        "line 2",
        "line 3",
        "line 4",
        "line 5",
    ]


def test_too_wide_and_too_long_rows_are_warnings() -> None:
    warnings = Warnings()
    parsed = table(
        "metadata.csv", f"file_name,text\na.jpg,x,y\nb.jpg,{'z' * 20_000}\nc.jpg,c\n", warnings
    )
    assert list(parsed.rows) == ["c.jpg"]
    assert len(warnings) == 2


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n"], ids=["empty", "no file name"])
def test_a_table_without_file_names_has_no_rows(text: str) -> None:
    assert table("captions.csv", text).rows == {}


def test_tables_apply_to_the_folders_below_them() -> None:
    tables = CaptionTableStack()
    tables.enter("", [table("metadata.jsonl", '{"file_name": "in/deep/a.jpg", "text": "far"}')])
    tables.enter("in", [])
    tables.enter("in/deep", [table("captions.csv", "a.jpg,near\n")])
    found = tables.lookup("in/deep/a.jpg", Warnings())
    assert [each.caption for each in found] == ["near", "far"]
    tables.enter("in/other", [])
    assert tables.lookup("in/b.jpg", Warnings()) == []


def test_repeated_columns_are_numbered_and_are_a_warning() -> None:
    parsed: list[tuple[str, str, str]] = []
    text = b"file_name,color,color\n0000.jpg,red,green\n"
    table = parse_caption_table("metadata.csv", text, 1000, lambda *report: parsed.append(report))
    row = table.lookup("0000.jpg", lambda *report: parsed.append(report))
    assert row is not None
    assert row.metadata == {"color": "red", "color (2)": "green"}
    ((code, name, reason),) = parsed
    assert (code, name) == ("column_repeated", "metadata.csv")
    assert "'color'" in reason


@pytest.mark.parametrize(
    ("written", "kept"), [(b"1258375918", "1258375918"), (b"[1]", "[1]"), (b"true", "True")]
)
def test_a_time_of_another_type_does_not_lose_the_sidecar(written: bytes, kept: str) -> None:
    sidecar = parse_sidecar("a.json", b'{"caption": "a cat", "captured_at": %s}' % written)
    assert (sidecar.caption, sidecar.captured_at) == ("a cat", kept)


def test_a_list_of_captions_is_one_caption() -> None:
    sidecar = parse_sidecar("a.json", b'{"caption": ["a cat", "", "a white cat"], "n": 1}')
    assert (sidecar.caption, sidecar.metadata) == ("a cat\na white cat", {"n": 1})


def test_columns_with_degrees_are_a_position() -> None:
    sidecar = parse_sidecar("a.json", b'{"latitude": 48.85, "longitude": 2.29}')
    assert sidecar.embedded.position == (48.85, 2.29)
    assert parse_sidecar("a.json", b'{"latitude": "x", "longitude": 2}').embedded.position is None
