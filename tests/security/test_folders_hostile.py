"""A folder of a stranger costs a worker its time, and the server nothing.

Tables and sidecars of folders are parsed in worker processes, as those of archives are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.ingest.decode.tree_reader import discovered_file
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.discover import caption_tables, sidecar_loader, sidecars, walk
from sightline.storage.ingest.discover.caption_tables import dedupe_headers, parse_caption_table
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.discover.sidecars import TreeFile, TreeFolder
from sightline.storage.ingest.discover.walk import trees_of
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.storage.ingest.conftest import Bench, bench
from tests.support.media import film
from tests.support.sample_images import jpeg

__all__ = ["bench"]

MARKS = "a" + "\u0315\u0300\u0327\u0334" * 200_000


async def test_only_workers_parse_what_is_in_a_folder(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unused(*_: object, **__: object) -> None:
        raise AssertionError("a file of a stranger was parsed in the process of the server")

    for module, name in (
        (sidecars, "parse_object"),
        (sidecar_loader, "parse_sidecar"),
        (sidecar_loader, "parse_caption_table"),
        (caption_tables, "parse_object"),
        (walk, "read_file"),
    ):
        monkeypatch.setattr(module, name, unused)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    (folder / "a.json").write_text('{"caption": "a lighthouse"}')
    (folder / "b.jpg").write_bytes(jpeg(2))
    (folder / "captions.csv").write_text("file_name,caption\nb.jpg,a harbor\n")
    summary = await bench.ingest(folder)
    assert (summary.added, dict(summary.warnings)) == (2, {})
    again = await bench.ingest(folder / "a.jpg", folder / "b.jpg")
    assert again.unchanged == 2
    captions = await bench.rows("SELECT caption FROM sightline.asset ORDER BY caption")
    assert captions == [("a harbor",), ("a lighthouse",)]


@pytest.mark.timeout(60)  # it took the square or the cube of the length
async def test_hostile_tables_cost_their_rows_only(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    rows = [{"file_name": MARKS, "text": "x"}, {"file_name": "a.jpg", "text": "a lighthouse"}]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text)
    (folder / "captions.csv").write_text("a," * 100_000 + "file_name\n")
    summary = await bench.ingest(folder)
    assert summary.added == 1
    reasons = [each for _, each in summary.warnings["sidecar_broken"].examples]
    assert any("file name of 800,001 characters" in reason for reason in reasons)
    ((caption,),) = await bench.rows("SELECT caption FROM sightline.asset")
    assert caption == "a lighthouse"


@pytest.mark.timeout(20)
def test_repeated_columns_are_numbered_in_linear_time() -> None:
    headers = dedupe_headers(["a", "a (2)", "a (3)"] * 100_000)
    assert len(set(headers)) == len(headers)
    assert dedupe_headers(["price", "", "price", "price (2)"]) == [
        *("price", "", "price (3)", "price (2)")
    ]


def test_a_table_has_a_limit_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_tables, "MAX_ROWS", 10)
    warned: list[str] = []
    rows = b"".join(b'{"file": "%d"}\n' % n for n in range(30))
    for name, data in (("metadata.jsonl", rows), ("captions.csv", b"file,x\n" + b"1,2\n3,4\n" * 9)):
        table = parse_caption_table(name, data, 100, lambda *each: warned.append(each[2]))
        assert len(table.rows) <= 10
    assert "has more than 10 rows; the rest is left out" in warned


async def test_the_subtitles_of_a_video_share_one_limit(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    film(folder / "a.mp4", [((10, 90, 200), 1.0)])
    cue = "1\n00:00:00,000 --> 00:00:01,000\n%s\n\n"
    (folder / "a.0.srt").write_text(cue % "Hello lighthouse. " + cue % ("x" * 30_000))
    for number in range(1, 200):
        os.link(folder / "a.0.srt", folder / f"a.{number}.srt")
    summary = await bench.ingest(folder, max_sidecar_bytes=100_000)
    assert summary.added == 1
    assert "sidecar_unreadable" in summary.warnings
    ((chars,),) = await bench.rows("SELECT sum(length(text)) FROM sightline.content_passage")
    assert 0 < chars <= 100_000


@pytest.mark.parametrize(
    "values",
    [
        {"path": "/etc/passwd"},
        {"path": "/root/folder/../secret"},
        {"path": "/root/folders/a"},
        {"path": None},
        {"data": b"x"},
        {"path": "folder/a"},
    ],
    ids=str,
)
def test_a_worker_cannot_name_a_file_outside_of_its_folder(values: dict[str, Any]) -> None:
    good = messages.FoundFile("a", "/root/folder/a", "/root/folder/a")
    assert discovered_file(good, "/root/folder").path == "/root/folder/a"
    with pytest.raises(messages.ProtocolError):
        discovered_file(good._replace(**values), "/root/folder")


def test_files_of_one_folder_are_read_together(tmp_path: Path) -> None:
    inputs = [InputPath(f"in/{n}.jpg", str(tmp_path / f"{n}.jpg")) for n in range(100)]
    (tree,) = trees_of(inputs)
    assert isinstance(tree, messages.TreeRequest)
    assert tree.only is not None
    assert len(tree.only) == 100


class TreeWithoutMemory:
    """A folder whose tables need more memory than there is."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        raise MemoryError(path, max_bytes)

    def display_name(self, path: str) -> str:
        return path


def test_a_table_that_needs_too_much_memory_does_not_end_the_folder() -> None:
    loader = sidecar_loader.SidecarLoader(TreeWithoutMemory(), IngestOptions(), lambda: None)
    loader.enter(TreeFolder("", ["a.jpg", "captions.csv", "coco.json"]))
    assert loader.load(TreeFile("a.jpg")) is None
    warnings = [(each.code, each.name) for each in loader.take_warnings()]
    assert warnings == [("sidecar_broken", "captions.csv")]
    assert not loader.is_table("coco.json")


def test_many_json_tables_of_a_folder_share_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar_loader, "_MAX_JSON_BYTES", 100)
    for name in ("a.json", "b.json", "c.json"):
        (tmp_path / name).write_text('{"x.jpg": "a caption of forty or fifty bytes"}')
    tree = walk.DirectoryTree(InputPath(str(tmp_path), str(tmp_path)))
    loader = sidecar_loader.SidecarLoader(tree, IngestOptions(), lambda: None)
    loader.enter(TreeFolder("", ["a.json", "b.json", "c.json"]))
    assert [loader.is_table(name) for name in ("a.json", "b.json", "c.json")] == [True, True, False]


@pytest.mark.parametrize("name", ["captions.csv", "metadata.jsonl"])
def test_repeated_and_broken_rows_of_a_table_count_too(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(caption_tables, "MAX_ROWS", 3)
    reasons: list[str] = []
    row = "a.jpg,x\n" if name.endswith(".csv") else '{"file_name": "a.jpg"}\n'
    head = "file_name,caption\n" if name.endswith(".csv") else ""
    data = (head + row * 100).encode()
    table = parse_caption_table(name, data, 100, lambda code, file, reason: reasons.append(reason))
    assert list(table.rows) == ["a.jpg"]
    assert len(reasons) == 3
    assert "more than 3 rows" in reasons[-1]
