"""Texts in old encodings are read as they were written, and other bytes are refused."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.plain_text.text_encoding import decode_text
from tests.storage.ingest.conftest import Bench
from tests.support.media import RED, film

TEXTS = [
    ("cp1252", "Müller;5,00 €\nGrüße;3,50 €\n"),
    ("cp1252", "Los niños deben vacunarse contra el sarampión."),
    ("cp1252", "La crème brûlée, les œufs et le café sont prêts."),
    ("cp1252", "It’s a “test” – really…"),
    ("cp1252", "ÜBERSICHT DER KÄUFER"),
    ("cp1252", "temp: 21 °C\n"),
    ("cp850", "Straße;größer\nMünchen;1\n"),
    ("mac_roman", "Grüße aus München, schöne Straße"),
    ("cp1250", "Zażółć gęślą jaźń"),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
    ("iso8859_2", "Żółta łódź płynie po rzece"),
    ("cp1251", "Привет, как дела?"),
    ("koi8_r", "имя;город\nИван;Москва\n"),
    ("cp866", "Это старый файл"),
    ("cp1253", "Καλημέρα κόσμε"),
    ("cp1254", "İstanbul'da güneşli bir gün, ağaçlar çiçek açtı"),
    ("cp1256", "مرحبا بالعالم"),
    ("cp1257", "Labas rytas, ačiū už pagalbą"),
    ("cp874", "สวัสดีครับ วันนี้อากาศดี"),
    ("gb18030", "发票号码,金额\n4711,120\n"),
    ("big5hkscs", "發票號碼,金額\n4711,120\n"),
    ("cp932", "これは日本語の文章です。東京"),
    ("cp932", "請求書番号,金額\n4711,120"),
    ("euc_jp", "これは日本語の文章です"),
    ("iso2022_jp_2", "これは日本語の文章です"),
    ("cp949", "이름;도시\n김철수;서울\n"),
    ("utf-16-le", "name;wert\r\nMüller;5,00\r\n"),
    ("utf-16-be", "1\n00:00:01,000 --> 00:00:02,000\n你好世界\n"),
    ("utf-16", "你好"),
    ("utf-8-sig", "Müller"),
    ("utf-32", "Müller"),
]


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_a_text_is_read_in_the_encoding_that_it_was_written_in(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("head", "encoding", "text"),
    [
        ('<html><head><meta charset="iso-8859-2">', "iso8859_2", "Zażółć"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=GB2312">', "gbk", "你好"),
        ('<?xml version="1.0" encoding="Shift_JIS"?>', "cp932", "請求書"),
        # Pages often declare what they are not.
        ('<meta charset="iso-8859-1">', "utf-8", "“Müller”"),
        ('<meta charset="utf-8">', "cp1252", "“Müller”"),
        # A codec of Python that is no encoding of text.
        ('<meta charset="zlib">', "utf-8", "Müller"),
    ],
)
def test_a_declared_encoding_is_used_if_it_can_be_true(head: str, encoding: str, text: str) -> None:
    assert decode_text((head + text).encode(encoding)).text == head + text


def test_a_doubtful_or_damaged_text_is_read_with_a_warning() -> None:
    assert "could be" in str(decode_text("Dziękuję".encode("cp1250")).warning)
    cut = decode_text(("é" * 30).encode()[:-1])
    assert (cut.text, cut.warning) == ("é" * 29, "is UTF-8 that ends inside a character")
    mixed = decode_text(("é" * 30).encode() + b"caf\xe9, ok")
    assert mixed.text == "é" * 30 + "café, ok"
    assert "1 wrong bytes" in str(mixed.warning)
    assert decode_text("Größe und Käufer".encode("cp1252")).warning is None


@pytest.mark.parametrize(
    "data",
    [
        random.Random(1).randbytes(40),
        random.Random(2).randbytes(4_000),
        bytes(128 | each for each in random.Random(3).randbytes(400)),
        bytes(each for each in random.Random(4).randbytes(4_000) if each >= 32),
        zlib.compress(b"hello world " * 50),
        b"\x89PNG\r\n\x1a\n" + bytes(20),
        b"\x7fELF\x02\x01\x01" + bytes(60),
        b"text\0with NUL",
    ],
)
def test_bytes_that_are_not_text_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError) as raised:
        decode_text(data)
    assert raised.value.code == "not_text"


@pytest.mark.timeout(10)
def test_long_texts_take_linear_time() -> None:
    text = "Müller und Söhne, Straße 5\n" * 200_000
    assert decode_text(text.encode("cp1252")).text == text
    assert decode_text(text.replace("\n", " ").encode("cp1252")).encoding == "cp1252"


async def test_files_in_old_encodings_are_found_by_their_words(bench: Bench, album: Path) -> None:
    table = "sep=;\r\nName;Preis\r\nMüller;1.299,00\r\n"
    (album / "excel.csv").write_bytes(table.encode("cp1252"))
    (album / "unicode.csv").write_bytes(table.removeprefix("sep=;\r\n").encode("utf-16"))
    (album / "note.txt").write_bytes("Der Käufer zahlt".encode("cp1252"))
    (album / "page.html").write_bytes(
        '<meta charset="gbk"><p>发票号码</p>'.encode("gbk"),
    )
    (album / "speech.srt").write_bytes(
        "1\n00:00:01,000 --> 00:00:02,000\n今天天气真好\n".encode("gb18030")
    )
    (album / "doubt.txt").write_bytes("Dziękuję".encode("cp1250"))
    (album / "noise.txt").write_bytes(random.Random(1).randbytes(400))
    film(album / "clip.mp4", [(RED, 1)])
    (album / "clip.srt").write_bytes(
        "1\n00:00:00,000 --> 00:00:01,000\nWie heißt du?\n".encode("cp1252")
    )
    summary = await bench.ingest("album")
    texts = await bench.rows(
        "SELECT s.name, text FROM sightline.content_passage p "
        "JOIN sightline.source s ON s.id = p.source_id ORDER BY s.name"
    )
    assert [(name.removeprefix("album/"), text) for name, text in texts] == [
        ("clip.mp4", "Wie heißt du?"),
        ("doubt.txt", "Dziêkujê"),
        ("excel.csv", "Name: Müller\nPreis: 1.299,00"),
        ("note.txt", "Der Käufer zahlt"),
        ("page.html", "发票号码"),
        ("speech.srt", "今天天气真好"),
        ("unicode.csv", "Name: Müller\nPreis: 1.299,00"),
    ]
    assert await bench.failures() == {"album/noise.txt": "not_text"}
    assert list(summary.warnings) == ["encoding_guessed"]
