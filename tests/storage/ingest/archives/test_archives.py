import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_tree import read_archive
from sightline.storage.ingest.decode.worker.worker_protocol import (
    ArchiveRequest,
    FoundFile,
    PartWarning,
)
from sightline.storage.ingest.ingest_options import IngestOptions

Files = list[tuple[str, bytes]]
Pack = Callable[[Path, Files], Path]


def pack_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path.with_suffix(".zip")


def pack_tar(path: Path, files: Files) -> Path:
    return _pack_tar(path.with_suffix(".tar"), files, "w")


def pack_tgz(path: Path, files: Files) -> Path:
    return _pack_tar(path.with_suffix(".tar.gz"), files, "w:gz")


def _pack_tar(path: Path, files: Files, mode: Any) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


every_kind = pytest.mark.parametrize("pack", [pack_zip, pack_tar, pack_tgz])


def discovered(path: Path, **options: int) -> list[FoundFile]:
    request = ArchiveRequest(path.name, str(path))
    try:
        parts = list(read_archive(request, IngestOptions(**options), lambda: None))
    except MediaError as error:
        return [FoundFile(path.name, str(path), code=error.code)]
    return [part for part in parts if isinstance(part, FoundFile)]


def codes(path: Path, **options: int) -> dict[str, str | None]:
    return {each.name: each.code for each in discovered(path, **options)}


@every_kind
def test_members_are_in_order_with_their_bytes_and_sidecars(album: Path, pack: Pack) -> None:
    files = [
        ("pics/b.jpg", b"B"),
        ("pics/a.txt", b"a cat"),
        ("pics/a.jpg", b"A"),
        (".hidden/c.jpg", b"C"),
        ("metadata.jsonl", b'{"file_name": "pics/b.jpg", "room": 7}'),
    ]
    path = pack(album.parent / "x", files)
    first, second = discovered(path)
    assert (first.name, first.data) == (f"{path.name}/pics/a.jpg", b"A")
    assert (second.name, second.data) == (f"{path.name}/pics/b.jpg", b"B")
    assert first.sidecar is not None
    assert first.sidecar.caption == "a cat"
    assert second.sidecar is not None
    assert second.sidecar.metadata == {"room": 7}


@every_kind
@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg"])
def test_names_that_lead_out_of_the_archive_are_refused(album: Path, pack: Pack, name: str) -> None:
    path = pack(album.parent / "x", [(name, b"E"), ("good.jpg", b"G")])
    assert sorted(str(code) for code in codes(path).values()) == ["None", "unsafe_name"]
    assert not list(album.parent.rglob("evil.jpg"))


@every_kind
def test_nothing_is_unpacked_next_to_the_archive(album: Path, pack: Pack) -> None:
    path = pack(album.parent / "x", [("a.jpg", b"A")])
    discovered(path)
    assert sorted(p.name for p in album.parent.iterdir()) == sorted(["album", path.name])


@every_kind
def test_an_archive_bomb_is_stopped(album: Path, pack: Pack) -> None:
    files = [(f"{n}.jpg", bytes(16 << 20)) for n in range(6)]
    path = pack(album.parent / "x", files)
    if path.suffix == ".tar":
        path.rename(path.with_suffix(".txt"))  # not a bomb: as large as its content
        return
    assert "archive_bomb" in codes(path, max_archive_ratio=10).values()


@every_kind
def test_a_member_over_the_limit_fails_alone(album: Path, pack: Pack) -> None:
    path = pack(album.parent / "x", [("big.jpg", bytes(5000)), ("small.jpg", b"s")])
    found_codes = codes(path, max_file_bytes=4096)
    assert found_codes == {f"{path.name}/big.jpg": "too_large", f"{path.name}/small.jpg": None}


@every_kind
def test_too_many_members_are_refused(album: Path, pack: Pack) -> None:
    path = pack(album.parent / "x", [(f"{n}.jpg", b"x") for n in range(11)])
    assert codes(path, max_archive_members=10) == {path.name: "archive_bomb"}


@every_kind
def test_an_archive_inside_an_archive_fails_and_is_not_opened(album: Path, pack: Pack) -> None:
    path = pack(album.parent / "x", [("inner.zip", b"PK"), ("empty.jpg", b"")])
    assert codes(path) == {
        f"{path.name}/inner.zip": "unsupported",
        f"{path.name}/empty.jpg": "empty",
    }


def test_an_email_inside_an_archive_is_refused_with_advice(album: Path) -> None:
    path = pack_zip(album.parent / "x", [("offer.eml", b"Subject: offer")])
    (failure,) = discovered(path)
    assert failure.reason == (
        "is an e-mail inside an archive; unpack the outer one and ingest the folder"
    )


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tgz"])
@pytest.mark.parametrize("data", [b"PK nothing", b"\x1f\x8b broken"])
def test_a_file_that_is_not_an_archive_is_a_failure(album: Path, name: str, data: bytes) -> None:
    path = album.parent / name
    path.write_bytes(data)
    assert codes(path) == {name: "archive_broken"}


def test_a_truncated_tar_is_a_failure(album: Path) -> None:
    path = pack_tgz(album.parent / "x", [("a.jpg", bytes(range(256)) * 4000)])
    path.write_bytes(path.read_bytes()[:-2000])
    assert codes(path) == {path.name: "archive_broken"}


def test_links_in_a_tar_are_not_followed(album: Path) -> None:
    path = album.parent / "x.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("link.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    assert codes(path) == {"x.tar/link.jpg": "not_a_file"}


def test_a_forged_tar_header_does_not_cause_a_huge_read(album: Path) -> None:
    path = album.parent / "x.tar"
    entry = tarfile.TarInfo("pax")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 40
    path.write_bytes(entry.tobuf() + bytes(10_240))
    assert codes(path) == {"x.tar": "archive_broken"}


def test_an_encrypted_member_fails_alone(album: Path) -> None:
    path = pack_zip(album.parent / "x", [("a.jpg", b"A" * 100), ("b.jpg", b"B" * 100)])
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)
    assert codes(path) == {"x.zip/a.jpg": "encrypted", "x.zip/b.jpg": None}


def test_a_member_with_a_wrong_checksum_fails_alone(album: Path) -> None:
    path = pack_zip(album.parent / "x", [("a.jpg", b"A" * 100), ("b.jpg", b"B" * 100)])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 16] ^= 0xFF
    path.write_bytes(data)
    assert codes(path) == {"x.zip/a.jpg": "broken", "x.zip/b.jpg": None}


def test_a_repeated_member_is_ingested_once(album: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = pack_zip(album.parent / "x", [("a.jpg", b"1"), ("a.jpg", b"2")])
    assert [each.data for each in discovered(path)] == [b"2"]


@every_kind
def test_a_table_of_broken_rows_gives_a_limited_number_of_warnings(album: Path, pack: Pack) -> None:
    path = pack(album.parent / "x", [("a.jpg", b"A"), ("metadata.jsonl", b"{\n" * 5_000)])
    parts = list(read_archive(ArchiveRequest(path.name, str(path)), IngestOptions(), lambda: None))
    assert sum(isinstance(part, PartWarning) for part in parts) == 1_000
    assert sum(isinstance(part, FoundFile) for part in parts) == 1
