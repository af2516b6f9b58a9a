"""Hostile archives fail alone, and only worker processes read them."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_tree import read_archive
from sightline.storage.ingest.decode.worker.worker_protocol import ArchiveRequest, FoundFile
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.storage.ingest.conftest import Bench, bench
from tests.support.archive_files import pax_header, tar_of, with_flag, zip_of
from tests.support.sample_images import jpeg

__all__ = ["bench"]


def folder_header(number: int) -> bytes:
    header = tarfile.TarInfo(f"folder-{number}")
    header.type = tarfile.DIRTYPE
    return header.tobuf()


def directory_of(count: int) -> bytes:
    """Return a zip that has only a directory, with ``count`` members."""
    entry = zip_of(("a", b""))
    start = entry.index(b"PK\x01\x02")
    one = entry[start : entry.index(b"PK\x05\x06")]
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, len(one) * count, 0, 0)
    return one * count + end


def endless_tar() -> bytes:
    """Return a tar whose member has a negative size, so that reading goes back (CVE-2025-8194)."""
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (-512).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return tarfile.TarInfo("b.jpg").tobuf() + bytes(header) + bytes(10_240)


CHAIN = pax_header(b"9 path=a\n") * 400 + tar_of(("a.jpg", b"A"))
LONG_NAMES = b"".join(pax_header(b"a" * 500, tarfile.GNUTYPE_LONGNAME) for _ in range(400))
HOSTILE: dict[str, bytes] = {
    "chain.tar": CHAIN,
    "long-names.tar": LONG_NAMES + tar_of(("a.jpg", b"A")),
    "quadratic.tar": pax_header(b"1" * 80_000) + tar_of(("a.jpg", b"A")),
    "global.tar": pax_header(b"1" * 80_000, tarfile.XGLTYPE) + tar_of(("a.jpg", b"A")),
    "huge-name.tar": pax_header(b"n" * 80_000, tarfile.GNUTYPE_LONGNAME),
    "endless.tar": endless_tar(),
    "number.tar": pax_header(b"9" * 5000 + b" path=a\n") + tar_of(("a.jpg", b"A")),
    "folders.tar": b"".join(folder_header(number) for number in range(30)),
    "directory.zip": directory_of(1000),
    "cut.zip": zip_of(("a.jpg", jpeg(1)))[:-30],
    "cut.tgz": b"\x1f\x8b\x08\x00" + bytes(60),
}
OPTIONS = IngestOptions(max_archive_members=20)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_a_code(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(MediaError) as raised:
        list(read_archive(ArchiveRequest(name, str(path)), OPTIONS, lambda: None))
    assert raised.value.code in ("archive_broken", "archive_bomb")


@pytest.mark.parametrize("bit", [5, 6, 13])
def test_a_member_with_a_feature_that_is_not_supported_fails_alone(
    tmp_path: Path, bit: int
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(with_flag(zip_of(("a.jpg", b"A" * 100), ("b.jpg", b"B" * 100)), bit))
    parts = read_archive(ArchiveRequest("a.zip", str(path)), OPTIONS, lambda: None)
    files = [part for part in parts if isinstance(part, FoundFile)]
    assert [each.code for each in files if each.name == "a.zip/b.jpg"] == [None]


def test_overlapping_members_count_against_the_ratio(tmp_path: Path) -> None:
    """Let all entries of the directory lead to the same bytes (CVE-2024-0450)."""
    data = zip_of(("a.jpg", bytes(1 << 20)))
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    entries = b"".join(entry.replace(b"a.jpg", b"%05d" % n) for n in range(200))
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 200, 200, len(entries), start, 0)
    path = tmp_path / "a.zip"
    path.write_bytes(data[:start] + entries + tail)
    options = IngestOptions(max_archive_ratio=1)
    parts = read_archive(ArchiveRequest("a.zip", str(path)), options, lambda: None)
    codes = {part.code for part in parts if isinstance(part, FoundFile)}
    assert codes <= {"archive_bomb", "broken", None}
    assert codes & {"archive_bomb", "broken"}


def unused(*_: Any, **__: Any) -> None:
    raise AssertionError("an archive was opened in the process of the server")


async def test_hostile_archives_stop_nothing_and_are_read_in_workers_only(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in HOSTILE.items():
        (folder / name).write_bytes(data)
    (folder / "patched.zip").write_bytes(with_flag(zip_of(("a.jpg", jpeg(3))), 5))
    (folder / "good.zip").write_bytes(zip_of(("a.jpg", jpeg(1)), ("a.txt", b"a lighthouse")))
    (folder / "z.jpg").write_bytes(jpeg(2))
    for module, attribute in ((tarfile, "TarFile"), (zipfile, "ZipFile"), (zipfile, "is_zipfile")):
        monkeypatch.setattr(module, attribute, unused)
    summary = await bench.ingest(folder, max_archive_members=20)
    failures = await bench.failures()
    assert summary.added == 2
    names = await bench.rows("SELECT name FROM sightline.source WHERE state = 'done'")
    assert {name.rpartition("folder/")[2] for (name,) in names} == {"good.zip/a.jpg", "z.jpg"}
    assert {name.rpartition("/")[2] for name in failures} == {*HOSTILE, "a.jpg"}
    assert (await bench.ingest(folder, max_archive_members=20)).unchanged == 2


async def test_a_table_that_takes_all_memory_fails_alone(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    table = b"file_name,text\n" + b"a.jpg,x\n" * 12_000_000
    packed = zip_of(("captions.csv", table), ("a.jpg", jpeg(1)))
    (folder / "table.zip").write_bytes(packed)
    (folder / "z.jpg").write_bytes(jpeg(2))
    summary = await bench.ingest(folder, worker_memory_mib=600, max_archive_ratio=9999)
    assert (summary.added, summary.failed) == (2, 0)
    ((name, reason),) = summary.warnings["sidecar_broken"].examples
    assert name.endswith("table.zip/captions.csv")
    assert "too much memory" in reason


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("depth", [100, 600, 990, 100_000])
async def test_a_sidecar_that_is_nested_deeply_fails_alone(
    bench: Bench, tmp_path: Path, depth: int, packed: bool
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    row = b'{"file_name": "a.jpg", "deep": ' + nested + b"}\n"
    files = {"a.jpg": jpeg(1), "a.json": nested, "metadata.jsonl": row, "b.jpg": jpeg(2)}
    if packed:
        files = {"a.zip": zip_of(*files.items())}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    summary = await bench.ingest(folder)
    assert (summary.added, summary.failed) == (2, 0)
    assert list(summary.warnings) == ["sidecar_broken"]
