"""Measure ``search_images`` over MCP against the sum of its necessary parts.

    python -m benchmarks search_latency -- --images 2000

The parts, measured in the same run: the encoder's forward pass, the SQL statements of a search
(recorded, and sent again on one connection with the same parameters), and a call of an empty tool
of the same server. The latency budget is a ratio to their sum. The throughput of 64 concurrent
searches is compared with the encoder alone in batches of 64. The server is a separate process. Each
query is new, so caches do not help.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import multiprocessing
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psycopg
from mcp import Client
from mcp.server.mcpserver import MCPServer
from PIL import Image
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from benchmarks import dataset, environment
from benchmarks.tables import Durations, max_verdict, min_verdict, print_table
from sightline.server.config import Settings
from sightline.server.database.provider import open_database
from sightline.server.http import http_server
from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder, ImageTextModel
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_value
from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest
from sightline.tools.registry import register_all

LATENCY_BUDGET = 1.25
THROUGHPUT_BUDGET = 0.85
CONCURRENCY = 64

#: A statement with its parameters and the options of `execute`.
Statement = tuple[Any, Any, dict[str, Any]]


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with environment.temporary_settings() as settings, tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        dataset.write_images(images, options.images, dataset.SMALL_SIZES)
        summary = environment.ingest(settings, images)
        print(f"{summary['images']:,} images and {summary['passages']:,} captions ingested")
        model = environment.load_raw_model(settings)
        async with open_database(settings):
            with _server(settings) as url:
                await _measure(settings, model, url, options)


async def _measure(
    settings: Settings, model: ImageTextModel, url: str, options: argparse.Namespace
) -> None:
    texts, uploads = _Texts(options.seed), _Uploads(options.seed)
    async with Client(url) as client:

        async def search(**arguments: Any) -> None:
            result = await client.call_tool("search_images", arguments)
            assert not result.is_error, result.content
            assert result.structured_content is not None
            assert result.structured_content["hits"]

        async def by_text() -> None:
            await search(query=texts.next())

        async def by_image() -> None:
            await search(image=uploads.next()[0])

        async def empty() -> None:
            await client.call_tool("empty", {})

        async def text_forward() -> None:
            await asyncio.to_thread(model.encode_texts, [texts.next()])

        async def image_forward() -> None:
            pixels = model.preprocess(uploads.next()[1])
            await asyncio.to_thread(model.encode_images, [pixels])

        for warm in (by_text, by_image, empty, text_forward, image_forward):
            await _measure_one(warm, 5)
        rows = []
        async with _open_recorder(settings, model) as recorder:
            for name, call, forward, request in (
                ("text", by_text, text_forward, lambda: ImageRequest(query=texts.next())),
                (
                    "image",
                    by_image,
                    image_forward,
                    lambda: ImageRequest(image=uploads.next()[1]),
                ),
            ):
                # Interleaved, so that a load peak of the machine affects all measurements.
                statements = [await recorder.record(request()) for _ in range(options.rounds)]
                parts = await _interleave(
                    [call, forward, recorder.replay(statements), empty], options.rounds
                )
                search_times, encoder_times, sql_times, call_times = parts
                total = encoder_times.p50 + sql_times.p50 + call_times.p50
                rows += [
                    (f"search by {name}", *search_times.cells, ""),
                    ("  encoder forward", *encoder_times.cells, ""),
                    (f"  same SQL ({len(statements[0])} statements)", *sql_times.cells, ""),
                    ("  empty tool call", *call_times.cells, ""),
                    (
                        "  search / sum of the parts",
                        f"{total:.1f}",
                        "",
                        max_verdict(search_times.p50 / total, LATENCY_BUDGET),
                    ),
                ]
        print_table(
            "search_images over MCP and HTTP, milliseconds", ("", "p50", "p95", "ratio"), rows
        )
        await _measure_concurrent(model, options, texts, uploads, by_text, by_image)


async def _measure_concurrent(
    model: ImageTextModel,
    options: argparse.Namespace,
    texts: _Texts,
    uploads: _Uploads,
    by_text: Callable[[], Awaitable[None]],
    by_image: Callable[[], Awaitable[None]],
) -> None:
    rows = []
    pixels = [model.preprocess(uploads.next()[1]) for _ in range(CONCURRENCY)]

    def encode_texts() -> None:
        model.encode_texts([texts.next() for _ in range(CONCURRENCY)])

    def encode_images() -> None:
        model.encode_images(pixels)

    for name, search, forward in (
        ("text", by_text, encode_texts),
        ("image", by_image, encode_images),
    ):
        limit = _rate(forward, options.bursts)
        start = time.perf_counter()
        for _ in range(options.bursts):
            await asyncio.gather(*(search() for _ in range(CONCURRENCY)))
        rate = CONCURRENCY * options.bursts / (time.perf_counter() - start)
        rows.append(
            (
                f"by {name}",
                f"{rate:.1f}",
                f"{limit:.1f}",
                min_verdict(rate / limit, THROUGHPUT_BUDGET),
            )
        )
    print_table(
        f"{CONCURRENCY} concurrent searches, searches per second",
        ("", "searches", "encoder alone", "ratio"),
        rows,
    )


def _rate(forward: Callable[[], Any], bursts: int) -> float:
    forward()
    start = time.perf_counter()
    for _ in range(bursts):
        forward()
    return CONCURRENCY * bursts / (time.perf_counter() - start)


async def _measure_one(work: Callable[[], Awaitable[None]], count: int) -> Durations:
    (result,) = await _interleave([work], count)
    return result


async def _interleave(works: list[Callable[[], Awaitable[None]]], rounds: int) -> list[Durations]:
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for own, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            await work()
            own.append(time.perf_counter() - start)
    return [Durations(tuple(each)) for each in seconds]


class _Texts:
    """New queries."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._number = 0

    def next(self) -> str:
        self._number += 1
        return f"{dataset.caption(self._rng)} {self._number}"


class _Uploads:
    """New images, as data URL and decoded."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def next(self) -> tuple[str, Image.Image]:
        colors = bytes(self._rng.randrange(256) for _ in range(4 * 3 * 3))
        image = Image.frombytes("RGB", (4, 3), colors).resize((320, 240), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        encoded = base64.b64encode(file.getvalue()).decode()
        return f"data:image/jpeg;base64,{encoded}", image


@dataclass
class _Recorder:
    """Records the statements of searches and sends them on a connection without pool."""

    search: ImageSearch
    database: _RecordingDatabase
    connection: AsyncConnection[TupleRow]

    async def record(self, request: ImageRequest) -> list[Statement]:
        """Run a search and return its statements in order."""
        self.database.statements.clear()
        await self.search.search(request)
        return list(self.database.statements)

    def replay(self, searches: list[list[Statement]]) -> Callable[[], Awaitable[None]]:
        """Return a function that sends the next search's statements."""
        remaining = iter(searches)

        async def send() -> None:
            async with self.connection.transaction():
                for query, parameters, options in next(remaining):
                    cursor = await self.connection.execute(query, parameters, **options)
                    if cursor.description is not None:
                        await cursor.fetchall()

        return send


@dataclass(eq=False)
class _RecordingDatabase(Database):
    """A database that records its statements."""

    statements: list[Statement] = field(default_factory=list)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.statements = []

    @asynccontextmanager
    async def connection(
        self, *, autocommit: bool = False
    ) -> AsyncIterator[AsyncConnection[TupleRow]]:
        statements = self.statements

        class Cursor(AsyncCursor[TupleRow]):
            async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                statements.append((query, params, options))
                return await super().execute(query, params, **options)

        async with super().connection(autocommit=autocommit) as connection:
            before, connection.cursor_factory = connection.cursor_factory, Cursor
            try:
                yield connection
            finally:
                connection.cursor_factory = before


@asynccontextmanager
async def _open_recorder(settings: Settings, model: ImageTextModel) -> AsyncIterator[_Recorder]:
    async with AsyncExitStack() as stack:
        dsn = (await stack.enter_async_context(open_database(settings))).dsn
        database = await _RecordingDatabase.open(dsn)
        assert isinstance(database, _RecordingDatabase)
        stack.push_async_callback(database.close)
        encoder = stack.enter_context(closing(ImageTextEncoder(model, max_batch_items=64)))
        # A connection without the pool, but with its types and settings.
        async with database.connection() as pooled:
            search_path = await fetch_value(pooled, "SHOW search_path")
            context = pooled.adapters
        bare = await AsyncConnection.connect(dsn, autocommit=True, context=_Adapted(context))
        await stack.enter_async_context(bare)
        await bare.execute("SELECT set_config('search_path', %s, false)", [search_path])
        search = ImageSearch(database, encoder, encoder, signing_key=b"benchmark" * 4)
        for _ in range(5):  # Fill the caches of the process.
            await search.search(ImageRequest(query="a white van"))
        yield _Recorder(search, database, bare)


@dataclass
class _Adapted:
    """Adapters in the form of another connection, as psycopg expects."""

    adapters: psycopg.adapt.AdaptersMap
    connection: None = None


def _empty_tool(mcp: MCPServer) -> None:
    @mcp.tool(name="empty", description="Does nothing.")
    async def empty() -> str:
        return ""


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """Run a server with an additional empty tool in a process; yield its URL."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    stop = context.Event()
    process = context.Process(target=_serve, args=(settings, sender, stop))
    process.start()
    try:
        yield receiver.recv()
    finally:
        stop.set()
        process.join()


def _serve(settings: Settings, sender: Pipe, stop: Event) -> None:
    async def run() -> None:
        register = (register_all, _empty_tool)
        async with http_server.start_http_server(settings, register=register) as (url, _):
            sender.send(url)
            await asyncio.to_thread(stop.wait)

    asyncio.run(run())


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks search_latency")
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind")
    parser.add_argument("--bursts", type=int, default=5, help=f"bursts of {CONCURRENCY} searches")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(arguments)
