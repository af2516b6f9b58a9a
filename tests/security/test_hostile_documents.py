"""Hostile documents fail alone or are cut, within bounded time and memory, and fetch nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.decode.worker_pool import no_preprocess
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.security.test_hostile_files import png_with
from tests.support.office_files import (
    book_file,
    open_document_file,
    packed,
    repacked,
    word_file,
    workbook_file,
)
from tests.support.peak_memory import PeakMemory

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {name} '{f'&{before};' * 10}'>"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def word_with(body: str, head: str = "") -> bytes:
    return repacked(
        word_file(),
        {"word/document.xml": f"{head}<w:document {_W}><w:body>{body}</w:body></w:document>"},
    )


def sheet_with(rows: str) -> bytes:
    sheet = f"<worksheet {_S}><dimension ref='A1:XFD1048576'/><sheetData>{rows}</sheetData>"
    return repacked(workbook_file(), {"xl/worksheets/sheet1.xml": sheet + "</worksheet>"})


def locked(data: bytes) -> bytes:
    """Return a document whose members are marked as encrypted."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = changed.find(signature)
        while place >= 0:
            changed[place + offset] |= 1
            place = changed.find(signature, place + 4)
    return bytes(changed)


def parts_of(name: str, data: bytes, **options: Any) -> list[messages.JobPart]:
    context = WorkerContext(no_preprocess, IngestOptions(**options))
    return list(run_request(messages.DecodeRequest(name, data=data), context))


def texts_of(parts: list[messages.JobPart]) -> list[str]:
    frames = [part for part in parts if isinstance(part, messages.TextPassages)]
    return [each.text for frame in frames for each in frame.passages]


def codes_of(parts: list[messages.JobPart]) -> list[str]:
    return [part.code for part in parts if isinstance(part, messages.PartWarning)]


DEEP = "<w:tbl><w:tr><w:tc>" * 5_000 + "</w:tc></w:tr></w:tbl>" * 5_000
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "bomb": ("a.docx", lambda: packed({"word/document.xml": bytes(400 << 20)}), "archive_bomb"),
    "parts": ("a.docx", lambda: packed({f"p{n}": "" for n in range(20_001)}), "archive_bomb"),
    "laughs": ("a.docx", lambda: word_with("&i;", f"{_LAUGHS}]>"), "broken"),
    "entity": (
        "a.docx",
        lambda: word_with("&x;", "<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
        "broken",
    ),
    "deep": ("a.docx", lambda: word_with(DEEP), "broken"),
    "deep sheet": ("a.xlsx", lambda: sheet_with("<a>" * 9_000 + "</a>" * 9_000), "broken"),
    "laughing sheet": (
        "a.xlsx",
        lambda: repacked(workbook_file(), {"xl/worksheets/sheet1.xml": f"{_LAUGHS}]><x>&i;</x>"}),
        "broken",
    ),
    "locked": ("a.docx", lambda: locked(word_file()), "encrypted"),
    "locked odt": (
        "a.odt",
        lambda: repacked(
            open_document_file("text", "<text:p>x</text:p>"),
            {"META-INF/manifest.xml": "<manifest><encryption-data/></manifest>"},
        ),
        "encrypted",
    ),
    "protected book": (
        "a.epub",
        lambda: repacked(
            book_file(),
            {
                "META-INF/encryption.xml": "<encryption><EncryptedData><CipherData>"
                "<CipherReference "
                'URI="OPS/text/one.xhtml"/></CipherData></EncryptedData></encryption>'
            },
        ),
        "encrypted",
    ),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_document_is_refused_with_a_code(case: str) -> None:
    name, write, code = REFUSED[case]
    with pytest.raises(MediaError) as raised:
        parts_of(name, write())
    assert raised.value.code == code


@pytest.mark.timeout(20)
def test_claimed_dimensions_and_repeated_cells_cost_nothing() -> None:
    far = "<row r='1048576'><c r='XFD1048576' t='inlineStr'><is><t>far</t></is></c></row>"
    near = "<row r='1'><c r='A1' t='inlineStr'><is><t>near</t></is></c></row>"
    texts = texts_of(parts_of("a.xlsx", sheet_with(near + far)))
    assert any("near" in each for each in texts)
    repeated = (
        "<table:table><table:table-row table:number-rows-repeated='1048576'>"
        "<table:table-cell table:number-columns-repeated='16384'><text:p>x</text:p>"
        "</table:table-cell></table:table-row></table:table>"
    )
    parts = parts_of("a.ods", open_document_file("spreadsheet", repeated))
    assert sum(map(len, texts_of(parts))) < 4 << 20


@pytest.mark.timeout(20)
def test_a_table_with_very_many_rows_is_cut_with_a_warning() -> None:
    row = "<row><c t='inlineStr'><is><t>a</t></is></c><c t='inlineStr'><is><t>b</t></is></c></row>"
    parts = parts_of("a.xlsx", sheet_with(row * 300), max_rows=100)
    assert codes_of(parts) == ["document_cut_short"]
    assert len(texts_of(parts)) <= 102


def test_nothing_outside_of_a_document_is_read() -> None:
    rels = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type="x/image" Target="../../../etc/passwd"/>'
        '<Relationship Id="r2" Type="x/image" Target="http://127.0.0.1:1/x" TargetMode="External"/>'
        '<Relationship Id="r3" Type="x/attachedTemplate" Target="file:///etc/passwd" '
        'TargetMode="External"/></Relationships>'
    )
    pictures = "".join(
        f'<w:p><w:r><w:drawing><docPr descr="picture {number}"/><blip embed="r{number}"/>'
        "</w:drawing></w:r></w:p>"
        for number in (1, 2)
    )
    data = repacked(
        word_file(),
        {
            "word/_rels/document.xml.rels": rels,
            "word/document.xml": f"<w:document {_W}><w:body>{pictures}</w:body></w:document>",
        },
    )
    assert texts_of(parts_of("a.docx", data)) == ["[Picture] picture 1", "[Picture] picture 2"]


def test_a_spine_in_a_circle_is_read_once() -> None:
    spine = '<itemref idref="a"/><itemref idref="b"/>' * 2_000
    texts = texts_of(parts_of("a.epub", book_file(spine)))
    assert sum("Ishmael" in each for each in texts) == 1


def test_styles_in_a_circle_end() -> None:
    styles = (
        f'<w:styles {_W}><w:style w:styleId="A"><w:name w:val="A"/><w:basedOn w:val="B"/></w:style>'
        '<w:style w:styleId="B"><w:name w:val="B"/><w:basedOn w:val="A"/></w:style></w:styles>'
    )
    body = '<w:p><w:pPr><w:pStyle w:val="A"/></w:pPr><w:r><w:t>words</w:t></w:r></w:p>'
    data = repacked(word_with(body), {"word/styles.xml": styles})
    assert "words" in texts_of(parts_of("a.docx", data))[0]


@pytest.mark.timeout(20)
def test_a_page_with_very_many_open_tags_takes_linear_time() -> None:
    page = "<table>" + "<tr><td>cell<td>cell" * 5_000
    parts = parts_of("a.html", page.encode())
    assert len(texts_of(parts)) > 1_000


def test_a_large_picture_in_a_small_document_is_refused_by_its_header() -> None:
    data = repacked(word_file(), {"word/media/image1.png": png_with(width=60_000, height=60_000)})
    memory = PeakMemory()
    assert "pictures_unreadable" in codes_of(parts_of("a.docx", data))
    assert memory.bytes() < 100 << 20
