"""E-mails, 7-Zip and TAR in xz and bzip2 are read like other archives, with the same limits."""

from __future__ import annotations

import bz2
import lzma
import random
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import py7zr
import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_tree import read_archive
from sightline.storage.ingest.decode.worker.text_files import parse_rows
from sightline.storage.ingest.decode.worker.worker_protocol import ArchiveRequest, FoundFile
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.storage.ingest.conftest import Bench
from tests.support.archive_files import tar_of
from tests.support.office_files import word_file
from tests.support.sample_images import jpeg

FILES = [("a.jpg", jpeg(1)), ("b/c.txt", b"words"), ("../d.txt", b"outside")]


def found(path: Path, **options: int) -> dict[str, FoundFile]:
    request = ArchiveRequest(path.name, str(path))
    parts = read_archive(request, IngestOptions(**options), lambda: None)
    return {each.name: each for each in parts if isinstance(each, FoundFile)}


def seven_zip(path: Path, files: list[tuple[str, bytes]], password: str | None = None) -> Path:
    with py7zr.SevenZipFile(path, "w", password=password) as archive:
        for name, data in files:
            archive.writestr(data, name)
    return path


def packed_tar(path: Path, files: list[tuple[str, bytes]]) -> Path:
    pack = lzma.compress if path.suffix in (".xz", ".txz") else bz2.compress
    path.write_bytes(pack(tar_of(*files)))
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.7z", seven_zip),
        ("a.tar.xz", packed_tar),
        ("a.txz", packed_tar),
        ("a.tar.bz2", packed_tar),
        ("a.tbz2", packed_tar),
    ],
)
def test_members_are_read_and_unsafe_names_are_refused(
    tmp_path: Path, name: str, write: Callable[[Path, list[tuple[str, bytes]]], Path]
) -> None:
    files = FILES if name != "a.7z" else FILES[:2]  # its writer refuses the name
    members = found(write(tmp_path / name, files))
    assert members[f"{name}/a.jpg"].data == jpeg(1)
    assert members[f"{name}/b/c.txt"].data == b"words"
    if name != "a.7z":
        assert members[f"{name}/../d.txt"].code == "unsafe_name"


@pytest.mark.parametrize(
    ("name", "write", "code"),
    [
        ("bomb.7z", lambda path: seven_zip(path, [("a.txt", bytes(66 << 20))]), "archive_bomb"),
        ("bomb.tar.xz", lambda path: packed_tar(path, [("a", bytes(66 << 20))]), "archive_bomb"),
        ("many.7z", lambda p: seven_zip(p, [(f"{n}.txt", b"x") for n in range(9)]), "archive_bomb"),
        ("locked.7z", lambda path: seven_zip(path, FILES[:1], "secret"), "encrypted"),
        (
            "cut.7z",
            lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(80)),
            "archive_broken",
        ),
        ("cut.tar.xz", lambda p: p.write_bytes(lzma.compress(bytes(9_999))[:90]), "archive_broken"),
        ("a.eml", lambda path: path.write_bytes(b"no mail at all\n\n"), "broken"),
        ("b.eml", lambda path: path.write_bytes(b"X-A: b\n" * 400_000 + b"\n\nx"), "broken"),
    ],
)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path], object], code: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(MediaError) as raised:
        found(tmp_path / name, max_archive_ratio=1, max_archive_members=8)
    assert raised.value.code == code


def mail() -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Offer für Käufer"
    message["From"] = "Ada <ada@example.com>"
    message["Date"] = "Fri, 03 May 2024 17:22:10 +0200"
    message.set_content("plain words", charset="iso-8859-1")
    message.add_alternative("<meta charset=gbk><p>Größe <b>and</b> weight</p>", subtype="html")
    message.add_attachment(jpeg(3), maintype="image", subtype="jpeg", filename="../p.jpg")
    message.add_attachment(jpeg(4), maintype="image", subtype="jpeg", filename="../p.jpg")
    return message


def test_an_e_mail_has_its_text_and_attachments(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("inner words")
    inner.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="t.csv")
    message = mail()
    message.add_attachment(inner)
    (tmp_path / "m.eml").write_bytes(bytes(message))
    members = found(tmp_path / "m.eml")
    assert {name: each.code for name, each in members.items() if each.code} == {}
    assert list(members) == [
        "m.eml/message.html",
        "m.eml/p (2).jpg",
        "m.eml/p.jpg",
        "m.eml/message-3/message.txt",
        "m.eml/message-3/t.csv",
    ]
    assert members["m.eml/p (2).jpg"].data == jpeg(4)
    text = (members["m.eml/message.html"].data or b"").decode()
    assert "Subject: Offer für Käufer" in text
    assert "Größe <b>and</b> weight" in text


def test_many_attachments_are_a_bomb(tmp_path: Path) -> None:
    message = mail()
    for number in range(9):
        message.add_attachment(b"x", maintype="a", subtype="b", filename=f"{number}")
    (tmp_path / "m.eml").write_bytes(bytes(message))
    with pytest.raises(MediaError) as raised:
        found(tmp_path / "m.eml", max_archive_members=8)
    assert raised.value.code == "archive_bomb"


@pytest.mark.timeout(30)
def test_very_many_parts_take_linear_time(tmp_path: Path) -> None:
    head = b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n"
    part = b"--b\nContent-Type: text/plain\n\nwords\n"
    (tmp_path / "m.eml").write_bytes(head + part * 2_000 + b"--b--\n")
    assert len(found(tmp_path / "m.eml")) == 2_000


def test_a_broken_text_does_not_hide_the_attachments(tmp_path: Path) -> None:
    noise = bytes(128 | each for each in random.Random(1).randbytes(300))
    message = mail()
    data = bytes(message).replace(b"plain words", b"plain words " + noise)
    data = data.replace(b"multipart/alternative", b"multipart/mixed")
    (tmp_path / "m.eml").write_bytes(data)
    assert "m.eml/p.jpg" in found(tmp_path / "m.eml")


def test_parts_nested_in_parts_end(tmp_path: Path) -> None:
    deep = b"Subject: x\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000)
    )
    (tmp_path / "m.eml").write_bytes(deep)
    with pytest.raises(MediaError) as raised:
        found(tmp_path / "m.eml")
    assert raised.value.code == "archive_broken"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('[{"a": 1, "b": {"c": [1, 2]}}, {"a": 2}]', ["a: 1\nb.c: 1, 2", "a: 2"]),
        ('{"name": "x", "items": [{"a": 1}, {"a": 2}]}', ["name: x", "items.a: 1", "items.a: 2"]),
        ('["one", "two"]', ["value: one", "value: two"]),
    ],
)
def test_a_json_file_is_read_in_rows(text: str, rows: list[str]) -> None:
    assert [each.text for each in parse_rows(text, ".json", 10)] == rows


async def test_a_mail_in_a_folder_is_found_by_its_text_and_attachments(
    bench: Bench, album: Path
) -> None:
    message = mail()
    message.add_attachment(
        word_file(), maintype="application", subtype="octet-stream", filename="guide.docx"
    )
    (album / "m.eml").write_bytes(bytes(message))
    (album / "data.json").write_text('{"part": {"name": "shackle"}}')
    summary = await bench.ingest("album")
    assert (summary.added, dict(summary.failures)) == (5, {})
    texts = await bench.rows(
        "SELECT s.name, text FROM sightline.content_passage p "
        "JOIN sightline.source s ON s.id = p.source_id"
    )
    assert ("album/data.json", "part.name: shackle") in texts
    assert any(name == "album/m.eml/guide.docx" and "K4" in text for name, text in texts)
    (page,) = [text for name, text in texts if name == "album/m.eml/message.html"]
    assert page.endswith("Größe and weight")
