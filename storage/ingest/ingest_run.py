"""One ingest at work: stages with queues between them, none too far ahead of the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from zoneinfo import ZoneInfo

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.ingest.decode.byte_semaphore import Budget
from sightline.storage.ingest.decode.decode_queue import JobQueue
from sightline.storage.ingest.decode.decode_stage import Ocr, Picture, Reading
from sightline.storage.ingest.decode.worker.tile_cutter import TYPICAL
from sightline.storage.ingest.decode.worker.worker_context import Limits
from sightline.storage.ingest.decode.worker_pool import Pool
from sightline.storage.ingest.discover.input_paths import Given
from sightline.storage.ingest.discover.walk import count, discover, take_some
from sightline.storage.ingest.embed.batch_encoder import BatchEncoder
from sightline.storage.ingest.embed.embed_stage import Encoding
from sightline.storage.ingest.embed.passage_builder import prepare_passages
from sightline.storage.ingest.ingest_items import Work
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.progress import Summary, Tally
from sightline.storage.ingest.store.copy_rows import Spaces
from sightline.storage.ingest.store.dedup import Identifier
from sightline.storage.ingest.store.vector_indexes import IndexCare
from sightline.storage.ingest.store.writer import Writer
from sightline.storage.interfaces import ImageEncoder, TextEncoder, OcrEngine
from sightline.storage.records.collections import Collection

_SQL = sql_loader.load("ingest")
_ANALYZE_ROWS = 100  # fewer change no plan


class Run:
    """One ingest: five stages with queues between them."""

    def __init__(
        self,
        database: Database,
        encoder: ImageEncoder,
        passage_encoder: TextEncoder | None,
        reader: OcrEngine | None,
        ocr: Ocr,
        into: Spaces,
        target: tuple[BlobStore, Collection],
        options: IngestOptions,
        tally: Tally,
    ) -> None:
        objects, collection = target
        self._database = database
        self._options = options
        self._tally = tally
        self._jobs = JobQueue(max_reads=4 * options.worker_count + options.batch_size)
        self._found: asyncio.Queue[asyncio.Task[list[Work]] | None] = asyncio.Queue(4)
        self._pictures: asyncio.Queue[Picture | None] = asyncio.Queue(2 * options.batch_size)
        self._finished: asyncio.Queue[Work | None] = asyncio.Queue(2 * options.write_rows)
        self._budget = Budget(options.lookahead_mib << 20)
        self._reading = Reading(
            self._jobs,
            self._pictures,
            self._finished.put,
            zone=ZoneInfo(options.timezone),
            report=tally.problem,
            objects=objects,
            ocr=ocr,
            tiles=into.region is not None,
        )
        self._identifier = Identifier(database, collection, self._reading, tally)
        same = [each.name for each in fields(Limits) if each.name != "memory_mib"]
        limits = Limits(
            memory_mib=options.worker_memory_mib,
            **{name: getattr(options, name) for name in same},
        )
        self._pool = Pool(encoder.preprocess, asdict(limits), options.file_timeout_seconds, reader)
        self._encoding = Encoding(
            BatchEncoder(encoder.encode_images, encoder.identity.dimension, options.batch_size),
            self._pictures,
            self._finished,
            tally,
        )
        self._encode_texts: BatchEncoder[str] | None = None
        if passage_encoder is not None:
            dimension = passage_encoder.identity.dimension
            self._encode_texts = BatchEncoder(
                passage_encoder.encode_texts, dimension, options.batch_size
            )
        self._writer = Writer(database, objects, collection, spaces=into)
        self._indexes = [
            IndexCare(database, space, options, self._tiles_of if space is into.region else _new)
            for space in into
            if space is not None
        ]
        self._seen = 0

    async def all(self, roots: Sequence[Given]) -> Summary:
        """Run the stages to their end."""
        for care in self._indexes:
            await care.start()
        self._tally.tell()
        try:
            async with asyncio.TaskGroup() as stages:
                counting = stages.create_task(self._count(roots))
                stages.create_task(self._discover(roots))
                stages.create_task(self._identify())
                stages.create_task(self._read())
                stages.create_task(self._encoding.run())
                stages.create_task(self._write(counting))
        except BaseExceptionGroup as group:
            raise _first(group) from group
        await self._finish()
        named = self._pool.spent
        self._tally.spend("read_decode", self._pool.busy_seconds - sum(named.values()))
        for stage, seconds in named.items():
            self._tally.spend(stage, seconds)
        self._tally.tell("done")
        return self._tally.summary(self._options.worker_count, self._pool.peak_kib)

    async def _count(self, roots: Sequence[Given]) -> None:
        total = await asyncio.to_thread(count, roots, self._options)
        self._tally.total = max(self._tally.total, total)

    async def _discover(self, roots: Sequence[Given]) -> None:
        """Walk on a thread of its own, and have what it finds hashed."""
        loop = asyncio.get_running_loop()
        found = discover(roots, self._options, self._tally.problem)
        thread = ThreadPoolExecutor(1, "discovery")
        try:
            async with asyncio.TaskGroup() as hashing:
                while True:
                    batch, seconds = await loop.run_in_executor(thread, take_some, found)
                    self._tally.spend("discover", seconds)
                    if not batch:
                        break
                    await self._budget.take(sum(len(each.data or b"") for each in batch))
                    task = hashing.create_task(self._identifier.hash_all(batch))
                    await self._found.put(task)
        finally:
            # Behind whatever still runs there: it may hold archives open.
            thread.submit(found.close)
            thread.shutdown(wait=False)
        await self._found.put(None)

    async def _identify(self) -> None:
        """Send on what is new or changed, in the order in which it was found."""
        while (task := await self._found.get()) is not None:
            works = await task
            todo = await self._identifier.decide(works)
            self._seen += len(works)
            for care in self._indexes:
                care.notice(todo)
            self._tally.total = max(self._tally.total, self._seen)
            kept = set(map(id, todo))
            for work in works:
                if id(work) not in kept and work.found.data is not None:
                    await self._budget.give(len(work.found.data))
                    work.found.data = None
            for work in todo:
                if work.failure is not None or self._needs_no_look(work):
                    work.ended = True
                    await self._finished.put(work)
                else:
                    await self._reading.read(work)
            self._tally.tell()
        await self._jobs.close()

    def _needs_no_look(self, work: Work) -> bool:
        """Whether all that changed is known already, so that the file can stay shut."""
        if work.known is None:
            return False
        work.captured = self._reading.said_captured(work)
        if self._reading.wants_look(work):
            return False
        return work.kind != "image" or work.captured is not None

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._options.worker_count):
                workers.create_task(self._pool.run(self._jobs.take))
        await self._pictures.put(None)

    async def _write(self, counting: asyncio.Task[None]) -> None:
        while works := await self._next_finished():
            await counting
            await self._expect()
            started = time.perf_counter()
            texts = self._encode_texts
            await prepare_passages(works, texts, self._options, self._tally.problem)
            self._tally.spend("passages", time.perf_counter() - started)
            started = time.perf_counter()
            await self._commit(works)
            self._tally.spend("write", time.perf_counter() - started)
            self._tally.tell()

    async def _next_finished(self) -> list[Work]:
        """All that waits, up to what one transaction may hold; none at the end."""
        first = await self._finished.get()
        works = [] if first is None else [first]
        while works and len(works) < self._options.write_rows and not self._finished.empty():
            more = self._finished.get_nowait()
            if more is None:
                self._finished.put_nowait(None)
                break
            works.append(more)
        return works

    async def _expect(self) -> None:
        """Guess from what was new so far how much is to come."""
        scale = self._tally.total / max(1, self._seen)
        for care in self._indexes:
            await care.expect(scale)

    def _tiles_of(self, work: Work) -> int:
        return TYPICAL if self._reading.wants_tiles(work) else 0

    async def _commit(self, works: list[Work]) -> None:
        outcomes = await self._writer.write(works)
        for work, outcome in zip(works, outcomes, strict=True):
            self._identifier.close(work)
            await self._budget.give(len(work.found.data or b""))
            failure = work.failure
            if failure is not None:
                for found in (work.found, *work.twins):
                    self._tally.fail(failure.code, found.name, str(failure))
                continue
            self._tally.count(outcome)
            for _ in work.twins:
                self._tally.count("duplicate")
            if outcome != "unchanged":
                self._tally.pictures += len(work.assets)
                self._tally.passages += len(work.passages)
            work.assets.clear()
            work.passages.clear()

    async def _finish(self) -> None:
        """Build what large loads left for later, and refresh the planner's statistics."""
        self._tally.tell("index")
        started = time.perf_counter()
        added = self._tally.pictures + self._tally.passages
        for care in self._indexes:
            await care.finish(added)
        async with self._database.connection() as connection:
            if added >= _ANALYZE_ROWS:
                await connection.execute(_SQL["analyze"])
        self._tally.spend("index", time.perf_counter() - started)


def _new(work: Work) -> int:
    return 1 if work.known is None else 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that made the others."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
