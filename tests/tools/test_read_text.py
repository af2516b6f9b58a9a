"""read_text returns the text of sources, pages and images in reading order."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.tools.read_text import token_count
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import film, pdf
from tests.support.office_files import slides_file
from tests.tools.toolbox import ToolClient, ToolEnvironment

TALE = "\n\n".join(
    f"Chapter {number}. The keeper of lamp {number} wrote his log. "
    + " ".join(f"On day {day} the wind came from the north, force {day % 9}." for day in range(40))
    for number in range(1, 13)
)
CHINESE = "".join(f"第{number}章。灯塔看守人每天记录天气和船只。" for number in range(300))
TABLE = "product,price\n" + "".join(f"part {n},{n}.50\n" for n in range(60))
SUBTITLES = """\
1
00:00:01,000 --> 00:00:03,000
The gate opens.

2
01:01:05,000 --> 01:01:08,000
A van leaves the yard.
"""
MANY_CUES = "\n".join(
    f"{n}\n00:{n // 60:02}:{n % 60:02},000 --> 00:{n // 60:02}:{n % 60:02},900\nYes {n}.\n"
    for n in range(1, 900)
)
QUOTES = "\n".join(f'"It is \\ {n}", he said.' for n in range(900))
LONG_NAME = "/".join(f"folder {n}" for n in range(20))
LONG = [" ".join(f"word{number}" for number in range(at, at + 6)) for at in range(0, 78, 6)]
HTML = """\
<html><head><title>Notice</title></head>
<body><p>Closed on Monday.</p><p>Ring twice.</p></body></html>
"""


def words(*lines: str) -> Any:
    def draw(canvas: Canvas) -> None:
        for number, line in enumerate(lines):
            canvas.drawString(50, 500 - 40 * number, line)

    return draw


@pytest.fixture(scope="module")
def library_dsn(
    postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with a folder of files, read-only."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("files"))) / "library"
    (folder / "old").mkdir(parents=True)
    (folder / "tale.md").write_text(TALE, encoding="utf-8")
    (folder / "old" / "tale.md").write_text("Another tale.", encoding="utf-8")
    (folder / "灯塔.txt").write_text(CHINESE, encoding="utf-8")
    (folder / "parts.csv").write_text(TABLE, encoding="utf-8")
    (folder / "gate.srt").write_text(SUBTITLES, encoding="utf-8")
    (folder / "cues.srt").write_text(MANY_CUES, encoding="utf-8")
    (folder / "quotes.txt").write_text(QUOTES, encoding="utf-8")
    (folder / LONG_NAME).mkdir(parents=True)
    (folder / LONG_NAME / "deep.txt").write_text(QUOTES[1:], encoding="utf-8")
    (folder / "notice.html").write_text(HTML, encoding="utf-8")
    (folder / "odd.txt").write_text("Plain\u200b text\u202e here.", encoding="utf-8")
    (folder / "deck.pptx").write_bytes(slides_file())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    (folder / "long.pdf").write_bytes(pdf(words(*LONG), words("The end")))
    (folder / "manual.pdf").write_bytes(
        pdf(
            words("Cover of the manual", "Second paragraph"),
            lambda canvas: canvas.rect(100, 100, 200, 200, fill=1),
            *(words(f"Text of page {number}") for number in range(3, 11)),
        )
    )
    name = sql.Identifier("tools_library")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(create.format(name, sql.Identifier(_template)))
    dsn = make_conninfo(postgres_dsn, dbname="tools_library")
    asyncio.run(ingest_folder(dsn, tmp_path_factory.mktemp("data"), folder))
    yield dsn
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(name))


async def ingest_folder(dsn: str, data: Path, folder: Path) -> None:
    database = await Database.open(dsn)
    try:
        await ingest(
            database,
            BlobStore(data),
            ColorHistogramEncoder(),
            [InputPath("library", str(folder))],
            collection="library",
            options=IngestOptions(workers=1),
        )
    finally:
        await database.close()


@pytest.fixture
def library(library_dsn: str, tmp_path: Path) -> ToolEnvironment:
    return ToolEnvironment(library_dsn, tmp_path / "data")


async def page_ids(tools: ToolClient) -> dict[int, str]:
    async with tools.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT page, asset.id FROM asset JOIN source ON source.id = source_id "
            "WHERE source.name = 'library/manual.pdf'"
        )
        return dict(await cursor.fetchall())


def text_of(result: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in result["parts"])


async def read_all(tools: ToolClient, **arguments: Any) -> list[dict[str, Any]]:
    """Follow next_start to the end."""
    results = [await tools.call("read_text", **arguments)]
    while "next_start" in results[-1]:
        start = results[-1]["next_start"]
        results.append(await tools.call("read_text", **arguments, start=start))
    return results


async def test_a_text_file_is_returned_without_the_overlap_of_its_chunks(
    library: ToolEnvironment,
) -> None:
    async with library.serve() as tools:
        whole = await tools.call("read_text", source="library/tale.md", max_tokens=20_000)
        async with tools.database.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM passage WHERE kind = 'chunk'")
            ((chunks,),) = await cursor.fetchall()
    assert chunks > 10
    (part,) = whole["parts"]
    assert part["text"] == TALE
    assert set(part) == {"text"}
    assert (whole["source"], whole["collection"]) == ("library/tale.md", "library")
    assert whole["characters"] == pytest.approx(len(TALE), abs=40)
    assert "next_start" not in whole


@pytest.mark.parametrize(
    ("name", "text", "max_tokens"), [("tale.md", TALE, 500), ("灯塔.txt", CHINESE, 500)]
)
async def test_a_long_text_is_read_in_parts_of_limited_length(
    library: ToolEnvironment, name: str, text: str, max_tokens: int
) -> None:
    async with library.serve() as tools:
        source = f"library/{name}"
        results = await read_all(tools, source=source, max_tokens=max_tokens)
    pieces = [text_of(each) for each in results]
    assert "".join("".join(pieces).split()) == "".join(text.split())
    per_token = 4 if text.isascii() else 1.1  # digits and Chinese
    for piece in pieces[:-1]:
        assert 0.8 * per_token * max_tokens < len(piece) <= per_token * max_tokens + 20
        assert piece[-1] in ".。 " or text[text.index(piece) + len(piece)].isspace()


@pytest.mark.parametrize(
    "name",
    ["tale.md", "灯塔.txt", "parts.csv", "cues.srt", "quotes.txt", "long.pdf", "manual.pdf"],
)
async def test_the_whole_result_has_at_most_max_tokens(library: ToolEnvironment, name: str) -> None:
    async with library.serve() as tools:
        read = partial(tools.call, "read_text", source=f"library/{name}")
        whole = comparable([await read(max_tokens=20_000)])
        for max_tokens in (80, 100, 300, 2_000, 20_000):
            results = [await read(max_tokens=max_tokens)]
            while "next_start" in results[-1] and len(results) < 6:
                start = results[-1]["next_start"]
                results.append(await read(max_tokens=max_tokens, start=start))
            for result in results:
                text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
                assert token_count(text) <= max_tokens
                assert all(part["text"] for part in result["parts"])
            assert whole.startswith(comparable(results))


def comparable(results: list[dict[str, Any]]) -> str:
    """Return the text without spaces and the times of subtitles."""
    text = "".join("".join(map(text_of, results)).split())
    return re.sub(r"\[[0-9:]+\]", "", text)


async def test_a_long_name_leaves_some_text(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        source = f"library/{LONG_NAME}/deep.txt"
        first = await tools.call("read_text", source=source, max_tokens=50)
    assert len(text_of(first)) > 20
    assert first["next_start"]


async def test_pages_are_parts_with_their_images(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        ids = await page_ids(tools)
        whole = await tools.call("read_text", source="manual.pdf")
        some = await tools.call("read_text", source="manual.pdf", pages="1, 4-5")
        listed = await tools.call("read_text", source="manual.pdf", pages=["3", "5"])
        number = await tools.call("read_text", source="manual.pdf", pages=3)
        one = await tools.call("read_text", asset=f"sightline://asset/{ids[4]}")
        by_uri = await tools.call("read_text", source=f"sightline://asset/{ids[4]}")
        others = await tools.call("read_text", asset=ids[4], pages="8-99")
        silent = await tools.call("read_text", asset=ids[2])
    assert whole["page_count"] == 10
    assert [part["page"] for part in whole["parts"]] == [1, *range(3, 11)]
    assert [part["asset"] for part in whole["parts"]] == [ids[1], *(ids[n] for n in range(3, 11))]
    assert whole["parts"][0]["text"] == "Cover of the manual\n\nSecond paragraph"
    assert whole["notes"] == ["Pages without text, for view_image: 2."]
    assert [part["page"] for part in some["parts"]] == [1, 4, 5]
    assert "notes" not in some
    assert [part["page"] for part in listed["parts"]] == [3, 5]
    assert text_of(number) == "Text of page 3"
    assert one == by_uri
    assert one["parts"] == [{"page": 4, "asset": ids[4], "text": "Text of page 4"}]
    assert [part["page"] for part in others["parts"]] == [8, 9, 10]
    assert (silent["parts"], silent["characters"]) == ([], 0)
    assert "view_image" in silent["notes"][0]


async def test_each_slide_is_a_part_of_its_own(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        whole = await tools.call("read_text", source="deck.pptx")
        second = await tools.call("read_text", source="deck.pptx", pages="2")
    pages = [part["page"] for part in whole["parts"]]
    assert pages == sorted(pages)
    assert {part["page"] for part in second["parts"]} == {2}
    for part in whole["parts"]:
        assert ("Quarterly result" in part["text"]) <= (part["page"] == 1)
        assert ("Market" in part["text"]) <= (part["page"] == 2)
    joined = [part["text"] for part in whole["parts"] if part["page"] != 1]
    assert joined == [part["text"] for part in second["parts"]]


async def test_pages_continue_in_the_middle(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        results = await read_all(tools, source="long.pdf", max_tokens=100)
    assert [[part["page"] for part in each["parts"]] for each in results[:2]] == [[1], [1]]
    assert [part["page"] for part in results[-1]["parts"]][-1] == 2
    assert " ".join(map(text_of, results)).split() == [*" ".join(LONG).split(), "The", "end"]
    assert ["characters" in each for each in results] == [True] + [False] * (len(results) - 1)


async def test_tables_subtitles_and_web_pages_have_text(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        table = await tools.call("read_text", source="parts.csv", max_tokens=20_000)
        subtitles = await tools.call("read_text", source="gate.srt")
        notice = await tools.call("read_text", source="notice.html")
    rows = text_of(table).split("\n\n")
    assert rows[0] == "product: part 0\nprice: 0.50"
    assert len(rows) == 60
    assert text_of(subtitles).splitlines() == [
        "[0:00:01] The gate opens.",
        "[1:01:05] A van leaves the yard.",
    ]
    assert text_of(notice) == "Notice\nClosed on Monday.\nRing twice."


async def test_a_video_has_its_subtitles_and_an_image_its_ocr_text(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    film(folder / "gate.mkv", [((200, 30, 30), 4.0)], cues=[(1.0, 2.0, "Mind the gate.")])
    async with empty_environment.replace(roots=(folder,)).serve() as tools:
        corpus = Corpus(tools.database, empty_environment.encoder)
        receipt = await corpus.add(
            "receipt.jpg",
            lines=[("Total 30.90", (0.1, 0.5, 0.9, 0.6)), ("Thank you", (0.1, 0.8, 0.9, 0.9))],
            caption="A receipt",
        )
        async with tools.database.connection() as connection:
            await connection.execute(
                "UPDATE passage SET ordinal = (text = 'Thank you')::int, "
                "confidence = CASE text WHEN 'Total 30.90' THEN 0.9 ELSE 0.5 END "
                "WHERE kind = 'ocr'"
            )
        await tools.call("add_images", collection="videos", paths=[str(folder)])
        video = await tools.call("read_text", source="gate.mkv")
        image = await tools.call("read_text", asset=receipt)
        same = await tools.call("read_text", source="receipt.jpg")
    assert "[0:00:01] Mind the gate." in text_of(video)
    assert image == same
    (part,) = image["parts"]
    assert (part["asset"], part["text"]) == (receipt, "Total 30.90\nThank you")
    assert part["confidence"] == pytest.approx((0.9 * 11 + 0.5 * 9) / 20, abs=1e-4)


async def test_hidden_characters_are_removed_and_reported(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        result = await tools.call("read_text", source="odd.txt")
    assert text_of(result) == "Plain text here."
    assert "hidden characters" in result["notes"][0]


async def test_a_name_may_be_the_end_of_a_path_if_it_is_unique(library: ToolEnvironment) -> None:
    async with library.serve() as tools:
        whole = await tools.call("read_text", source="library/old/tale.md")
        ending = await tools.call("read_text", source="old/tale.md")
        shortened = await tools.call("read_text", source="…/old/tale.md")
        ambiguous = await tools.call_error("read_text", source="tale.md")
    assert text_of(whole) == "Another tale."
    assert ending == shortened == whole
    for said in ("'library/old/tale.md (collection library)'", "'library/tale.md (collection"):
        assert said in ambiguous


async def test_the_collection_decides_between_equal_names(
    empty_environment: ToolEnvironment,
) -> None:
    async with empty_environment.serve() as tools:
        corpus = Corpus(tools.database, empty_environment.encoder)
        for collection in ("first", "second"):
            text = f"In the {collection} collection."
            await corpus.add_text("notes.md", [text, "End."], collection=collection)
        twice = await tools.call_error("read_text", source="notes.md")
        narrowed = await tools.call("read_text", source="notes.md", collection="second")
    assert "'notes.md (collection first)' and 'notes.md" in twice.replace(", ", " and ")
    assert text_of(narrowed) == "In the second collection.\n\nEnd."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, ["asset id or the name of a source"]),
        ({"source": "tales.md"}, ["Unknown source 'tales.md'", "'library/tale.md'"]),
        ({"source": "zzz"}, ["Unknown source 'zzz'", "'library/"]),
        ({"source": "a\x00b"}, ["Unknown source"]),
        ({"source": "tale.md", "collection": "zzz"}, ["Unknown collection 'zzz'", "'library'"]),
        (
            {"source": "broken.pdf"},
            ["'library/broken.pdf' was not ingested: it is cut off or damaged"],
        ),
        ({"asset": "zzzzzzzzzzzz"}, ["Unknown asset 'zzzzzzzzzzzz'"]),
        ({"source": "gate.srt", "pages": "2"}, ["'library/gate.srt' has no pages"]),
        ({"source": "manual.pdf", "pages": "11-12"}, ["pages is '11-12'", "has 10 pages"]),
        ({"source": "manual.pdf", "pages": "0"}, ["pages is '0'", "'2-5'"]),
        ({"source": "manual.pdf", "pages": "5-2"}, ["pages is '5-2'"]),
        ({"source": "manual.pdf", "pages": "1,x"}, ["pages is '1,x'"]),
        ({"source": "manual.pdf", "pages": "1," * 60 + "1"}, ["at most 50 ranges"]),
        ({"source": "gate.srt", "start": "999999999-0"}, ["text changed", "without `start`"]),
        ({"source": "gate.srt", "start": 999}, ["start '999'", "no next_start", "Omit it"]),
        ({"source": "gate.srt", "start": -1}, ["start '-1'"]),
        ({"source": "gate.srt", "start": "9" * 30}, ["start '999", "next_start"]),
        ({"source": "gate.srt", "max_tokens": 10}, ["max_tokens 10", "50 to 20000"]),
        ({"source": "gate.srt", "max_tokens": 10**9}, ["1000000000", "50 to 20000"]),
    ],
)
async def test_invalid_arguments_are_explained(
    library: ToolEnvironment, arguments: dict[str, Any], said: list[str]
) -> None:
    async with library.serve() as tools:
        text = await tools.call_error("read_text", **arguments)
    for words_ in said:
        assert words_ in text


async def test_an_asset_of_another_source_is_refused(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/shop/garlic.png"]
        same = await tools.call("read_text", asset=asset, source="garlic.png")
        other = await tools.call_error("read_text", asset=asset, source="onion.png")
    assert same["source"] == "album/shop/garlic.png"
    assert "is of 'album/shop/garlic.png', not of 'onion.png'" in other
