"""The text and pictures made from a file are limited, and text is analyzed where it can be stopped.

A header that each row repeats, runs of text on top of each other and samples that share their bytes
make hundreds of megabytes of text from a few kilobytes. The limits are relative to the file; a
worker keeps them, and the server checks the worker.
"""

from __future__ import annotations

import asyncio
import random
import string
import struct
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_value
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode import text_analysis
from sightline.storage.ingest.decode.decode_planner import DecodePlanner
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore, DecodeQueue
from sightline.storage.ingest.decode.decode_stage import DecodeStage, _DecodeAttempt
from sightline.storage.ingest.decode.text_analysis import TextAnalyzer
from sightline.storage.ingest.decode.transcription import SpeechStage
from sightline.storage.ingest.decode.worker import frames, passages
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.decode.worker_pool import no_preprocess
from sightline.storage.ingest.decode.worker_process import WorkerProcess, parse_message
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.ingest.ingest_capacity import IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestStats, IngestSummary
from sightline.storage.ingest.store import copy_rows
from sightline.storage.text.analyzer import Analysis, analyze
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import film, pdf

OPTIONS = IngestOptions(workers=1)


def words(count: int, seed: int = 1) -> str:
    """Return random words of five letters."""
    letters = random.Random(seed)
    return " ".join("".join(letters.choices(string.ascii_lowercase, k=5)) for _ in range(count))


def long_header(rows: int) -> bytes:
    """Return a table in which each row would become 8,000 characters."""
    return f"{words(1_400)},b\n".encode() + b"".join(b"%d,x\n" % n for n in range(rows))


def long_headers(rows: int) -> bytes:
    """Return a table with many columns whose names are long."""
    names = ",".join(f"{number} {words(20, number)}" for number in range(60))
    return f"{names}\n".encode() + (b",".join([b"1"] * 60) + b"\n") * rows


def crowded(canvas: Canvas) -> None:
    """Draw 5,000 tiny words, each a line of its own: one row many times."""
    if not canvas.hasForm("row"):
        canvas.beginForm("row")
        canvas.setFont("Helvetica", 2)
        for column in range(50):
            canvas.drawString(8 * column, 1, "ab")
        canvas.endForm()
    for row in range(100):
        canvas.saveState()
        canvas.translate(10, 10 + 5 * row)
        canvas.doForm("row")
        canvas.restoreState()


def film_with_shared_samples(folder: Path, cues: int, chars: int) -> bytes:
    """Return an MP4 whose subtitles all point at the same bytes."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)

    def full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
        return box(kind, struct.pack(">I", flags), *parts)

    def integers(*values: int) -> bytes:
        return struct.pack(f">{len(values)}I", *values)

    data = film(folder / "base.mp4", [((10, 90, 200), 1.0)]).read_bytes()
    boxes: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        boxes[kind] = data[at : at + size]
        at += size
    movie = boxes.pop(b"moov")
    head = b"".join(boxes.values())
    text = words(chars // 6).encode()
    sample = struct.pack(">H", len(text)) + text
    fonts = box(b"ftab", struct.pack(">HHB", 1, 1, 4), b"Sans")
    entry = box(b"tx3g", bytes(6), struct.pack(">H", 1), bytes(30), fonts)
    table = box(
        b"stbl",
        full(b"stsd", integers(1), entry),
        full(b"stts", integers(1, cues, 3000)),
        full(b"stsc", integers(1, 1, 1, 1)),
        full(b"stsz", integers(len(sample), cues)),
        full(b"stco", integers(cues), integers(len(head) + 8) * cues),
    )
    source = box(b"dinf", full(b"dref", integers(1), full(b"url ", flags=1)))
    matrix = integers(1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    track = box(
        b"trak",
        full(b"tkhd", integers(0, 0, 2, 0, cues), bytes(16), matrix, bytes(8), flags=3),
        box(
            b"mdia",
            full(b"mdhd", integers(0, 0, 1000, cues * 3000), struct.pack(">HH", 0x55C4, 0)),
            full(b"hdlr", bytes(4), b"sbtl", bytes(12), b"t\0"),
            box(b"minf", full(b"nmhd"), source, table),
        ),
    )
    return head + box(b"mdat", sample) + box(b"moov", movie[8:], track)


async def add(database: Database, folder: Path, name: str, data: bytes) -> IngestSummary:
    return await ingest(
        database,
        BlobStore(folder / "data"),
        ColorHistogramEncoder(),
        [Upload(name, data)],
        collection="album",
        options=OPTIONS,
    )


async def stored_chars(database: Database) -> int:
    async with database.connection() as connection:
        query = b"SELECT coalesce(sum(length(text)), 0) FROM sightline.passage"
        return int(await fetch_value(connection, query))


async def test_a_table_cannot_repeat_its_header_without_limit(
    database: Database, tmp_path: Path
) -> None:
    data = long_header(5_000)
    summary = await add(database, tmp_path, "header.csv", data)
    # Only the first 100 characters of a name are repeated, which is less than the limit.
    assert summary.added == 1
    assert await stored_chars(database) <= OPTIONS.max_text_chars(len(data))


async def test_a_table_with_many_long_names_fails_with_the_reason(
    database: Database, tmp_path: Path
) -> None:
    summary = await add(database, tmp_path, "headers.csv", long_headers(1_000))
    ((name, reason),) = summary.failures["too_large"].examples
    assert name == "headers.csv"
    assert "shorten the names of its columns" in reason
    assert await stored_chars(database) == 0


async def test_text_that_a_page_repeats_is_cut_short(database: Database, tmp_path: Path) -> None:
    data = pdf(*[crowded] * 7)
    summary = await add(database, tmp_path, "runs.pdf", data)
    assert (summary.added, summary.images) == (1, 7)
    assert set(summary.warnings) == {"text_cut_short"}
    assert 0 < await stored_chars(database) <= OPTIONS.max_text_chars(len(data))


async def test_subtitles_that_share_their_bytes_are_cut_short(
    database: Database, tmp_path: Path
) -> None:
    data = film_with_shared_samples(tmp_path, cues=100, chars=20_000)
    summary = await add(database, tmp_path, "film.mp4", data)
    assert summary.added == 1
    assert set(summary.warnings) == {"text_cut_short"}
    assert 0 < await stored_chars(database) <= OPTIONS.max_text_chars(len(data))


async def test_the_server_analyzes_short_texts_only(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []

    def recorded(text: str) -> Analysis:
        lengths.append(len(text))
        return analyze(text)

    monkeypatch.setattr(passages, "analyze", recorded)
    text = words(20_000)
    summary = await add(database, tmp_path, "long.txt", text.encode())
    assert summary.passages > 50
    assert await stored_chars(database) >= 0.99 * len(text)
    assert lengths
    assert sum(lengths) <= text_analysis.SHORT_CHARS
    async with database.connection() as connection:  # all its words can be searched
        query = b"SELECT count(DISTINCT term) FROM sightline.posting"
        count = await fetch_value(connection, query)
    expected = {term for each in text.split() for term in analyze(each).frequencies}
    assert count >= len(expected)


async def test_a_cancelled_call_ends_the_analysis_of_its_text(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[WorkerProcess] = []
    is_analyzing = asyncio.Event()
    send = WorkerProcess.send

    def recorded_send(worker: WorkerProcess, frames: Any) -> None:
        pieces = list(frames)
        send(worker, pieces)
        if any(b"AnalyzeRequest" in piece for piece in pieces):
            workers.append(worker)
            is_analyzing.set()

    monkeypatch.setattr(WorkerProcess, "send", recorded_send)
    capacity = IngestCapacity(OPTIONS)
    upload = Upload("long.txt", words(300_000).encode())
    task = asyncio.create_task(
        ingest(
            database,
            BlobStore(tmp_path / "data"),
            ColorHistogramEncoder(),
            [upload],
            collection="album",
            options=OPTIONS,
            capacity=capacity,
        )
    )
    await is_analyzing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(worker.is_alive for worker in workers)
    async with capacity.admit(None) as threads:  # nothing works on for the call that has gone
        assert threads == []
    await asyncio.gather(*capacity._releases)
    await capacity.close()
    assert await stored_chars(database) == 0


async def test_a_large_frame_is_refused_before_it_is_read() -> None:
    stream = asyncio.StreamReader()
    header = b'{"type": "TextLines", "blobs": {"lines": %d}}' % (frames.MAX_FRAME_BYTES + 1)
    stream.feed_data(struct.pack(">I", len(header)) + header)
    with pytest.raises(messages.ProtocolError, match="the limit is 16,777,216"):
        await frames.receive_frame(stream, frames.MAX_FRAME_BYTES)
    stream.feed_data(struct.pack(">I", 2 << 20))
    with pytest.raises(messages.ProtocolError, match="header"):
        await frames.receive_frame(stream, frames.MAX_FRAME_BYTES)


async def longest_passage(database: Database) -> int:
    async with database.connection() as connection:
        query = b"SELECT max(length(text)) FROM sightline.passage"
        return int(await fetch_value(connection, query))


async def test_no_file_makes_a_passage_of_any_length(database: Database, tmp_path: Path) -> None:
    marks = "needleword tells all a" + "\u0315\u0300\u0327\u0334" * 10_000
    files = {
        "cue.srt": f"1\n00:00:00,000 --> 00:00:01,000\n{marks}\n".encode(),
        "row.csv": f"name\n{words(5_000)}\n".encode(),
        "space.txt": b"a" + b" " * 100_000 + b"b",
        "runs.pdf": pdf(crowded),
    }
    for name, data in files.items():
        assert (await add(database, tmp_path, name, data)).added == 1
    assert await longest_passage(database) <= OPTIONS.max_passage_chars


LINE = ("x" * 900, (0.0, 0.0, 1.0, 1.0), 1.0)
IMAGE = messages.ImagePart("page", 0, 8, 8, (1, 1, 3), (8, 8), bytes(3), b"t", b"c" * (1 << 20))
FLOODS: dict[str, Callable[[], messages.JobPart]] = {
    "rows": lambda: messages.TextPassages("row", [messages.TextPassage("x" * 8_000)] * 10),
    "one passage": lambda: messages.TextPassages("chunk", [messages.TextPassage("x" * 8_001)]),
    "lines": lambda: messages.TextLines("ocr", 0, [LINE] * 100),
    "one line": lambda: messages.TextLines("ocr", 0, [("x" * 8_001, *LINE[1:])]),
    "empty lines": lambda: messages.TextLines("ocr", 0, [("", *LINE[1:])] * 5_000),
    "pictures": lambda: IMAGE,
    "readings": lambda: messages.AssetReading(1 << 20, "scan"),
    "tiles": lambda: messages.TilePart(0, 0, (0.0, 0.0, 1.0, 1.0), (1, 1, 3), bytes(3)),
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_the_server_stops_a_worker_that_sends_more_than_it_may(
    tmp_path: Path, flood: str
) -> None:
    queue = DecodeQueue(8)
    requests: asyncio.Queue[stages.EncodeRequest | None] = asyncio.Queue()
    decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None] = asyncio.Queue()
    stage = DecodeStage(
        queue,
        requests,
        decoded,
        TextAnalyzer(queue, decoded, AmountSemaphore(1 << 20), OPTIONS),
        SpeechStage(None, IngestStats("x", lambda _: None)),
        DecodePlanner("off", "none", tiles=False),
        zone=UTC,
        warn=lambda *_: None,
        blobs=BlobStore(tmp_path),
        options=OPTIONS,
    )
    file = stages.DiscoveredFile("a.pdf", place="upload:a.pdf", data=b"x")
    hashed = stages.HashedFile(file, bytes(32), "object:", byte_size=1)
    attempt = _DecodeAttempt(stage, stages.NewSource(hashed), 60.0)
    part = FLOODS[flood]()

    async def flood_it() -> None:
        for _ in range(200_000):
            await attempt._on_part(part)

    with pytest.raises(messages.ProtocolError, match="more text or pictures"):
        await flood_it()
    assert sum(len(each.text) for each in attempt._passages) <= OPTIONS.max_text_chars(1)


@pytest.mark.parametrize(
    "values",
    [
        {"terms": "a\nb", "frequencies": [1]},
        {"terms": "a\na", "frequencies": [1, 1]},
        {"terms": "a\n", "frequencies": [1, 1]},
        {"terms": "x" * 65},
        {"frequencies": [0]},
        {"frequencies": [40_000]},
        {"token_count": -1},
        {"tsvector": "'a"},
        {"tsvector": "'a':0"},
        {"tsvector": "'a':1 b"},
        {"tsvector": "'" + "x" * 200 + "'"},
    ],
    ids=str,
)
def test_an_analysis_that_postgres_would_refuse_fails_its_file_only(
    values: dict[str, Any],
) -> None:
    good = messages.PackedAnalysis("en", "'a':1,2 'it''s':3", "a", [1], 3)
    text_analysis.check_analysis(good)
    with pytest.raises(messages.ProtocolError, match="invalid analysis"):
        text_analysis.check_analysis(good._replace(**values))


@pytest.mark.parametrize(
    "text",
    ["It's a \\ b", "价格 12'5\" 中文", "", "a" * 300, words(2_000)],
    ids=["quotes", "han", "empty", "long word", "many words"],
)
async def test_every_real_analysis_is_valid(text: str) -> None:
    sent = messages.TextAnalyses([passages.pack_analysis(text)])
    stream = asyncio.StreamReader()
    stream.feed_data(b"".join(frames.pack_message(sent)))
    received = parse_message(await frames.receive_frame(stream, frames.MAX_FRAME_BYTES))
    assert received == sent
    text_analysis.check_analysis(sent.analyses[0])


def noise() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_pictures_of_a_source_share_a_limit() -> None:
    context = WorkerContext(no_preprocess, OPTIONS)
    context.begin_source(1_000)
    image = noise()
    sizes: list[int] = []
    while context.has_room_for_picture():
        (part,) = context.picture_parts(image, 16, kind="page", ordinal=len(sizes), page=1)
        assert part.content is not None
        sizes.append(len(part.content) + len(part.thumbnail))
    limit = OPTIONS.max_picture_bytes(1_000)
    assert limit / 2 < sum(sizes) <= limit
    assert max(sizes) <= limit / 16
    assert len(sizes) >= 16


async def test_the_rows_of_a_long_text_leave_turns_to_others(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    ticking = asyncio.create_task(_tick(turns))
    counts: list[int] = []
    copy = copy_rows._copy

    async def counted(connection: Any, statement: Any, rows: Any, types: Any = None) -> None:
        listed = list(rows)
        before = len(turns)
        await copy(connection, statement, listed, types)
        counts.append((len(turns) - before) * copy_rows._ROWS_PER_TURN - len(listed))

    monkeypatch.setattr(copy_rows, "_copy", counted)
    await add(database, tmp_path, "long.txt", words(20_000).encode())
    ticking.cancel()
    assert counts
    assert min(counts) >= -copy_rows._ROWS_PER_TURN


async def _tick(turns: list[int]) -> None:
    while True:
        turns.append(1)
        await asyncio.sleep(0)
