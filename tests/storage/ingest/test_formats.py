"""The table of formats: recognition by content and name, and refusal with advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.documents.libre_office import CONVERTED, WITH_PAGES
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.formats import (
    FORMATS,
    HEAD_BYTES,
    READERS,
    file_type_of,
    format_of,
    format_of_name,
)
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.encoders import color_grid
from tests.support.media import RED, film, pdf
from tests.support.sample_images import encoded, jpeg, picture


def found(name: str, head: bytes) -> str | None:
    known = format_of(name, head)
    return None if known is None else known.name


def decode(name: str, data: bytes) -> list[messages.JobPart]:
    context = WorkerContext(color_grid, IngestOptions())
    return list(run_request(messages.DecodeRequest(name, data=data), context))


def test_the_table_is_consistent() -> None:
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert len({each.name for each in FORMATS}) == len(FORMATS)
    for each in FORMATS:
        if each.kind == "unsupported":
            assert each.advice, each.name
        else:
            assert each.mime_type, each.name
            assert each.reader in READERS, each.name
            assert not each.advice, each.name
        assert each.kind not in ("image", "video") or each.decoder, each.name


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.jpg", jpeg(1), "JPEG"),
        ("a.jpg", encoded(picture(1), "PNG"), "PNG"),
        ("a.png", encoded(picture(1), "WEBP"), "WebP"),
        ("a", encoded(picture(1), "GIF"), "GIF"),
        ("a.dat", b"\n%PDF-1.7", "PDF"),
        ("drawing.ai", b"%PDF-1.5", "PDF"),
        ("a.txt", b"BMW builds cars.", "plain text"),
        ("a.txt", b"GIF is a format. " * 100, "plain text"),
        ("a.csv", encoded(picture(1), "BMP"), "BMP"),
        ("a.jpg", encoded(picture(1), "PPM"), "PNM"),
        ("a.txt", b"P5 is a page.", "plain text"),
        ("a.dat", b"<?xml version='1.0'?><!-- x --><svg >", "SVG"),
        ("a.html", b"<html><svg></svg>", "HTML"),
        ("a.mov", b"\0\0\0\x18ftypheic", "HEIC"),
        ("a.dat", b"\0\0\0\x18ftypcrx ", "camera RAW"),
        ("IM0001", bytes(128) + b"DICM", "DICOM"),
        ("a.jpg", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        ("a.nef", b"II*\0", "camera RAW"),
        ("a.dat", b"II*\0", "TIFF"),
        ("a.docx", b"PK\x03\x04", "Word"),
        ("a.dat", b"PK\x03\x04", "ZIP"),
        ("a.tar.gz", b"\x1f\x8b\x08", "compressed TAR"),
        ("a.nii.gz", b"\x1f\x8b\x08", "NIfTI"),
        ("a.log.gz", b"\x1f\x8b\x08", "gzip"),
        ("A.DOC", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Word 97-2003"),
        ("a", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office 97-2003"),
        ("private.key", b"-----BEGIN PRIVATE KEY-----", None),
        ("a.unknown", b"nothing", None),
        ("a.png", b"nothing", "PNG"),
        ("a.md", b"", "Markdown"),
    ],
)
def test_content_decides_before_the_name(name: str, head: bytes, expected: str | None) -> None:
    assert found(name, head[:HEAD_BYTES]) == expected


def test_the_head_of_a_hostile_file_is_compared_quickly() -> None:
    for byte in (b" ", b"G", b"\0", b"<!--", b"\0\0\0\x1cftypmif1"):
        format_of("a", (byte * HEAD_BYTES)[:HEAD_BYTES])  # no pattern backtracks


def test_a_suffix_has_any_case() -> None:
    assert file_type_of("IMG_0001.JPG") == "image"
    assert file_type_of("album.TAR.GZ") == "archive"
    assert file_type_of("a/b.c/noname") == "unknown"
    assert format_of_name(".jpg") is None


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        (
            "logo.eps",
            b"%!PS-Adobe",
            "is a file of the format PostScript, which is not read; export",
        ),
        ("album.rar", b"Rar!\x1a\x07", "which is not read; unpack it and ingest the folder"),
        ("letter.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .docx or PDF"),
        ("photo.jpg", b"gimp xcf v011", "is a file of the format GIMP image"),
        ("album.bin", b"PK\x03\x04", "opened only by path and under its own suffix"),
        ("a.bin", b"\x7fELF", "is not of a supported file type"),
    ],
)
def test_a_format_that_is_not_read_is_refused_by_name(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        decode(name, data)
    assert caught.value.code == "unsupported"
    assert reason in str(caught.value)


def test_advice_is_given_for_a_file_above_the_limit_too(tmp_path: Path) -> None:
    path = tmp_path / "disk.iso"
    path.write_bytes(bytes(2000))
    context = WorkerContext(color_grid, IngestOptions(max_file_bytes=1000))
    with pytest.raises(MediaError, match="mount it and ingest the folder"):
        list(run_request(messages.HashRequest(str(path)), context))


def test_files_with_the_wrong_suffix_are_read(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", [(RED, 1)]).read_bytes()
    kinds = []
    for name, data in {
        "page.jpg": pdf(lambda canvas: canvas.rect(9, 9, 99, 99)),
        "clip.jpg": clip,
        "photo.txt": encoded(picture(1), "PNG"),
    }.items():
        info = decode(name, data)[-1]
        assert isinstance(info, messages.SourceInfo)
        kinds.append((info.kind, info.mime_type))
    assert kinds == [
        ("pdf", "application/pdf"),
        ("video", "video/mp4"),
        ("image", "image/png"),
    ]


def test_formats_that_libre_office_reads_are_in_the_table() -> None:
    assert {each.name for each in FORMATS} >= CONVERTED.keys() | WITH_PAGES
