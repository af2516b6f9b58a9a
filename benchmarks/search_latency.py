"""``search_images`` over MCP and HTTP, against the sum of what it cannot do without.

    python -m benchmarks search_latency --pictures 2000

In one run: the encoder's forward alone, the same SQL alone (the statements of a search, recorded
and sent again by hand on one connection, parameters and all), and a call of an empty tool of the
same server. The budget is about their sum. Then 64 searches at once against what the encoder alone
does in batches of 64. The server is a process of its own; each query is new, so nothing is cached.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
from benchmarks.tables import Times, show, verdict
from sightline.server.config.settings import Settings
from sightline.server.database.provider import DatabaseProvider
from sightline.server.http import http_server
from sightline.server.models.image_text.image_text_encoder import Encoder, Model
from sightline.storage.db.pool import Database
from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest
from sightline.tools.registry import register_all

LATENCY_BUDGET = 1.25
THROUGHPUT_BUDGET = 0.85
AT_ONCE = 64

#: What is executed: the query, its parameters, and how.
Statement = tuple[Any, Any, dict[str, Any]]


async def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    with environment.settings() as chosen, tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        dataset.draw(pictures, options.pictures, dataset.SMALL)
        summary = environment.ingest(chosen, pictures, os.environ)
        print(f"{summary['pictures']:,} pictures and {summary['passages']:,} captions ingested")
        model = environment.raw_model(chosen)
        databases = DatabaseProvider(chosen)
        await databases.open()
        try:
            with _server(chosen) as url:
                await _measure(chosen, model, url, options)
        finally:
            await databases.close()


async def _measure(chosen: Settings, model: Model, url: str, options: argparse.Namespace) -> None:
    texts, uploads = _Words(options.seed), _Uploads(options.seed)
    async with Client(url) as client:

        async def search(**arguments: Any) -> None:
            result = await client.call_tool("search_images", arguments)
            assert not result.is_error, result.content
            assert result.structured_content is not None
            assert result.structured_content["hits"]

        async def by_words() -> None:
            await search(query=texts.next())

        async def by_picture() -> None:
            await search(image=uploads.next()[0])

        async def empty() -> None:
            await client.call_tool("empty", {})

        async def words_forward() -> None:
            await asyncio.to_thread(model.encode_texts, [texts.next()])

        async def picture_forward() -> None:
            pixels = model.preprocess(uploads.next()[1])
            await asyncio.to_thread(model.encode_images, [pixels])

        for warm in (by_words, by_picture, empty, words_forward, picture_forward):
            await _timed(warm, 5)
        rows = []
        sql = {}
        async with _by_hand(chosen, model) as replay:
            for name, whole, forward, request in (
                ("words", by_words, words_forward, lambda: ImageRequest(query=texts.next())),
                (
                    "a picture",
                    by_picture,
                    picture_forward,
                    lambda: ImageRequest(picture=uploads.next()[1]),
                ),
            ):
                # Taken in turns, so that a busy moment of the machine meets all of them alike.
                statements = [await replay.record(request()) for _ in range(options.rounds)]
                parts = await _in_turns(
                    [whole, forward, replay.sender(statements), empty], options.rounds
                )
                found, encoding, asking, calling = parts
                sql[name] = len(statements[0])
                floor = encoding.p50 + asking.p50 + calling.p50
                rows += [
                    (f"search by {name}", *found.shown, ""),
                    ("  encoder forward", *encoding.shown, ""),
                    (f"  same SQL by hand ({sql[name]} statements)", *asking.shown, ""),
                    ("  empty tool call", *calling.shown, ""),
                    (
                        "  search / sum of the three",
                        f"{floor:.1f}",
                        "",
                        verdict(found.p50 / floor, LATENCY_BUDGET, most=True),
                    ),
                ]
        show("search_images over MCP and HTTP, milliseconds", ("", "p50", "p95", "ratio"), rows)
        await _at_once(model, options, texts, uploads, by_words, by_picture)


async def _at_once(
    model: Model,
    options: argparse.Namespace,
    texts: _Words,
    uploads: _Uploads,
    by_words: Callable[[], Awaitable[None]],
    by_picture: Callable[[], Awaitable[None]],
) -> None:
    rows = []
    pixels = [model.preprocess(uploads.next()[1]) for _ in range(AT_ONCE)]

    def many_words() -> None:
        model.encode_texts([texts.next() for _ in range(AT_ONCE)])

    def many_pictures() -> None:
        model.encode_images(pixels)

    for name, search, forward in (
        ("words", by_words, many_words),
        ("a picture", by_picture, many_pictures),
    ):
        limit = _rate(forward, options.bursts)
        began = time.perf_counter()
        for _ in range(options.bursts):
            await asyncio.gather(*(search() for _ in range(AT_ONCE)))
        rate = AT_ONCE * options.bursts / (time.perf_counter() - began)
        rows.append(
            (
                f"by {name}",
                f"{rate:.1f}",
                f"{limit:.1f}",
                verdict(rate / limit, THROUGHPUT_BUDGET, most=False),
            )
        )
    show(
        f"{AT_ONCE} searches at once, searches a second",
        ("", "searches", "encoder alone", "ratio"),
        rows,
    )


def _rate(forward: Callable[[], Any], bursts: int) -> float:
    forward()
    began = time.perf_counter()
    for _ in range(bursts):
        forward()
    return AT_ONCE * bursts / (time.perf_counter() - began)


async def _timed(work: Callable[[], Awaitable[None]], times: int) -> Times:
    (result,) = await _in_turns([work], times)
    return result


async def _in_turns(works: list[Callable[[], Awaitable[None]]], rounds: int) -> list[Times]:
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for own, work in zip(seconds, works, strict=True):
            began = time.perf_counter()
            await work()
            own.append(time.perf_counter() - began)
    return [Times(tuple(each)) for each in seconds]


class _Words:
    """Queries that nobody has asked before."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._number = 0

    def next(self) -> str:
        self._number += 1
        return f"{dataset.caption(self._chance)} {self._number}"


class _Uploads:
    """Pictures that nobody has sent before, as data URLs and opened."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def next(self) -> tuple[str, Image.Image]:
        colours = bytes(self._chance.randrange(256) for _ in range(4 * 3 * 3))
        image = Image.frombytes("RGB", (4, 3), colours).resize((320, 240), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        encoded = base64.b64encode(file.getvalue()).decode()
        return f"data:image/jpeg;base64,{encoded}", image


@dataclass
class _Recorder:
    """A search whose statements are written down, and a bare connection to send them on."""

    search: ImageSearch
    database: _Recording
    bare: AsyncConnection[TupleRow]

    async def record(self, request: ImageRequest) -> list[Statement]:
        """The statements of a search, in the order in which they were sent."""
        self.database.statements.clear()
        await self.search.search(request)
        return list(self.database.statements)

    def sender(self, searches: list[list[Statement]]) -> Callable[[], Awaitable[None]]:
        """Sends the next of the searches' statements, one after the other, in one transaction."""
        waiting = iter(searches)

        async def send() -> None:
            async with self.bare.transaction():
                for query, parameters, options in next(waiting):
                    cursor = await self.bare.execute(query, parameters, **options)
                    if cursor.description is not None:
                        await cursor.fetchall()

        return send


@dataclass(eq=False)
class _Recording(Database):
    """A database that writes down what it is asked."""

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
async def _by_hand(chosen: Settings, model: Model) -> AsyncIterator[_Recorder]:
    databases = DatabaseProvider(chosen)
    dsn = (await databases.open()).dsn
    database = await _Recording.open(dsn)
    assert isinstance(database, _Recording)
    encoder = Encoder(model, batch_items=64, queue_items=1024)
    try:
        # The types and settings of a pooled connection, without the pool.
        async with database.connection() as pooled:
            row = await (await pooled.execute("SHOW search_path")).fetchone()
            assert row is not None
            context = pooled.adapters
        bare = await AsyncConnection.connect(dsn, autocommit=True, context=_Adapted(context))
        async with bare:
            await bare.execute("SELECT set_config('search_path', %s, false)", [row[0]])
            search = ImageSearch(database, encoder, encoder, signing_key=b"benchmark" * 4)
            for _ in range(5):  # what a process learns once is no part of a search
                await search.search(ImageRequest(query="a white van"))
            yield _Recorder(search, database, bare)
    finally:
        encoder.close()
        await database.close()
        await databases.close()


@dataclass
class _Adapted:
    """Adapters in the form that psycopg takes them from another connection."""

    adapters: psycopg.adapt.AdaptersMap
    connection: None = None


def _empty_tool(mcp: MCPServer) -> None:
    @mcp.tool(name="empty", description="Does nothing.")
    async def empty() -> str:
        return ""


@contextmanager
def _server(chosen: Settings) -> Iterator[str]:
    """The address of a server in a process of its own, with an empty tool besides ours."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    ended = context.Event()
    process = context.Process(target=_serve, args=(chosen, there, ended))
    process.start()
    try:
        yield here.recv()
    finally:
        ended.set()
        process.join()


def _serve(chosen: Settings, told: Pipe, ended: Event) -> None:
    async def run() -> None:
        async with http_server.start_http_server(chosen, register=(register_all, _empty_tool)) as (url, _):
            told.send(url)
            await asyncio.to_thread(ended.wait)

    asyncio.run(run())


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks search_latency")
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind")
    parser.add_argument("--bursts", type=int, default=5, help=f"times {AT_ONCE} at once")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(arguments)
