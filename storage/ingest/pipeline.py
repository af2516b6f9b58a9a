"""Run an ingest: concurrent stages with bounded queues between them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import first_error_only
from sightline.storage.ingest import collection_settings
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.decode_planner import DecodePlanner
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore, DecodeQueue
from sightline.storage.ingest.decode.decode_stage import DecodeStage
from sightline.storage.ingest.decode.text_analysis import TextAnalyzer
from sightline.storage.ingest.decode.transcription import SpeechStage
from sightline.storage.ingest.decode.worker.image import TYPICAL_TILES
from sightline.storage.ingest.decode.worker_pool import WorkerPool
from sightline.storage.ingest.detect.detect_stage import DetectorProvider, DetectStage
from sightline.storage.ingest.discover.input_paths import IngestInput, resolve_inputs
from sightline.storage.ingest.discover_stage import DiscoverStage, HashTask
from sightline.storage.ingest.embed.embed_stage import BatchEncoder, EmbedStage
from sightline.storage.ingest.embed.reliability_stage import judge_encoder
from sightline.storage.ingest.embed.source_passages import add_passages, add_vectors
from sightline.storage.ingest.ingest_capacity import FileMemory, IngestCapacity, Threads
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.progress import (
    MAX_EXAMPLES,
    IngestedFile,
    IngestProgress,
    IngestStats,
    IngestSummary,
)
from sightline.storage.ingest.store.copy_rows import TargetSpaces
from sightline.storage.ingest.store.dedup import Deduplicator
from sightline.storage.ingest.store.file_listing import ingested_files
from sightline.storage.ingest.store.vector_indexes import MIN_ANALYZE_ROWS, VectorIndexMaintainer
from sightline.storage.ingest.store.writer import IngestWriter
from sightline.storage.interfaces import ImageEncoder, OcrEngine, TextEncoder, Transcriber
from sightline.storage.records.collections import Collection
from sightline.storage.types import NAME_KINDS

Result = TypeVar("Result")

_SQL = load_sql("ingest")
#: Characters of analyzed passages of one ingest that wait to be written: about 100 MB of memory.
_MAX_WAITING_CHARS = 16 << 20


async def ingest(
    database: Database,
    blobs: BlobStore,
    encoder: ImageEncoder,
    paths: Sequence[str | Path | IngestInput],
    *,
    collection: str,
    options: IngestOptions | None = None,
    progress: Callable[[IngestProgress], None] = lambda _: None,
    passage_encoder: TextEncoder | None = None,
    ocr_engine: OcrEngine | None = None,
    transcriber: Transcriber | None = None,
    detector: DetectorProvider | None = None,
    settings: Mapping[str, Any] | None = None,
    capacity: IngestCapacity | None = None,
    principal: str | None = None,
    on_wait: Callable[[], None] = lambda: None,
    max_listed_files: int = 0,
    max_examples: int | None = MAX_EXAMPLES,
    is_wanted: Callable[[str], bool] | None = None,
) -> IngestSummary:
    """Ingest folders, files, patterns, archives, uploads and URLs into a collection.

    A missing collection is created; ``settings`` are set on it first. ``passage_encoder`` adds
    vectors to passages, ``transcriber`` what is said in videos and audio files, ``ocr_engine`` the
    written text if the setting ``ocr`` of the collection, or else the options, say so, and
    ``detector`` the boxes of the collection's vocabulary. ``progress`` counts committed files only.
    After a cancel or kill, whole batches are committed or not, and the next run continues.

    All ingests of a server share one ``capacity``, in which ``principal`` takes its turns;
    ``on_wait`` is called if this ingest must wait for others of the principal. The summary lists
    the first ``max_listed_files`` files with the ids of their assets, and ``max_examples`` of each
    problem, with None all. ``is_wanted`` chooses files by failure location (archives: with ``//``).

    Failed files are recorded, and the next run tries them again. Raises InvalidArgumentError for
    paths without a match, ConfigurationError, SpaceMismatchError if the collection's vectors are
    from another encoder, ModelError if the encoder fails on everything, and StorageError.
    """
    options = options or IngestOptions()
    async with AsyncExitStack() as stack:
        if capacity is None:
            capacity = IngestCapacity(options)
            stack.push_async_callback(capacity.close)
        threads = await stack.enter_async_context(capacity.admit(principal, on_wait))
        inputs = await asyncio.to_thread(resolve_inputs, paths)
        target, asset_space, passage_space = await collection_settings.open_collection(
            database,
            collection,
            encoder.identity,
            None if passage_encoder is None else passage_encoder.identity,
            settings or {},
        )
        ocr_mode, ocr_engine = collection_settings.ocr_policy(target, options, ocr_engine)
        tile_space = await collection_settings.tile_space(database, target, encoder.identity)
        stats = IngestStats(target.name, progress, max_listed_files, max_examples)
        speech = SpeechStage(transcriber, stats)
        detect = DetectStage(database, blobs, target, detector, options, stats)
        run = _IngestRun(
            database=database,
            blobs=blobs,
            collection=target,
            spaces=TargetSpaces(asset_space, passage_space, tile_space),
            encoder=encoder,
            passage_encoder=passage_encoder,
            ocr_engine=ocr_engine,
            speech=speech,
            detect=detect,
            planner=DecodePlanner(
                ocr_mode, ocr_engine.name if ocr_engine else "", tile_space is not None, speech.name
            ),
            options=options,
            capacity=capacity,
            principal=principal,
            threads=threads,
            stats=stats,
            is_wanted=is_wanted,
        )
        return capacity.finished(await run.run(inputs))


@dataclass(kw_only=True)
class _IngestRun:
    database: Database
    blobs: BlobStore
    collection: Collection
    spaces: TargetSpaces
    encoder: ImageEncoder
    passage_encoder: TextEncoder | None
    ocr_engine: OcrEngine | None
    speech: SpeechStage
    detect: DetectStage
    planner: DecodePlanner
    options: IngestOptions
    capacity: IngestCapacity
    principal: str | None
    threads: Threads
    stats: IngestStats
    is_wanted: Callable[[str], bool] | None

    def __post_init__(self) -> None:
        options, batch_size = self.options, self.options.batch_size
        self._queue = DecodeQueue(max_decode_jobs=4 * options.worker_count + batch_size)
        self._hashed: asyncio.Queue[HashTask | None] = asyncio.Queue(4)
        self._requests: asyncio.Queue[stages.EncodeRequest | None] = asyncio.Queue(2 * batch_size)
        max_sources = 2 * options.write_rows
        self._decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None] = (
            asyncio.Queue(max_sources)
        )
        self._embedded: asyncio.Queue[stages.FinishedSource | None] = asyncio.Queue(max_sources)
        self._lookahead = AmountSemaphore(options.lookahead_mib << 20)
        self._memory = FileMemory(self.capacity.file_bytes, self.principal)
        self._waiting_text = AmountSemaphore(_MAX_WAITING_CHARS)
        self._dedup = Deduplicator(
            self.database,
            self.blobs,
            self.collection,
            hash_file=self._queue.hash_file,
            needs_decode=self.planner.needs_decode,
        )
        self._decode_stage = DecodeStage(
            self._queue,
            self._requests,
            self._decoded,
            TextAnalyzer(self._queue, self._decoded, self._waiting_text, options),
            self.speech,
            self.planner,
            zone=ZoneInfo(options.timezone),
            warn=self.stats.warn,
            blobs=self.blobs,
            options=options,
        )
        self._pool = WorkerPool(
            self.encoder.preprocess,
            options,
            self.ocr_engine,
            slots=self.capacity.workers,
            principal=self.principal,
        )
        self._threads = ThreadPoolExecutor(3, "ingest")
        self._stop = threading.Event()
        self._discover_stage = DiscoverStage(
            self._hashed,
            self.stats,
            options=options,
            capacity=self.capacity,
            principal=self.principal,
            hash_file=self._queue.hash_file,
            lookahead=self._lookahead,
            memory=self._memory,
            in_thread=self._in_thread,
            stop=self._stop,
            is_wanted=self.is_wanted,
        )
        dimension = self.encoder.identity.dimension
        self._embed_stage = EmbedStage(
            BatchEncoder(self.encoder.encode_images, dimension, batch_size),
            self._requests,
            self._decoded,
            self._embedded,
            self.stats,
        )
        self._text_encoder = BatchEncoder.of_passages(self.passage_encoder, batch_size)
        self._writer = IngestWriter(self.database, self.blobs, self.collection, spaces=self.spaces)
        self._indexes = {
            space: VectorIndexMaintainer(self.database, space, options)
            for space in self.spaces
            if space is not None
        }
        self._decided = 0

    async def run(self, inputs: Sequence[IngestInput]) -> IngestSummary:
        for index in self._indexes.values():
            await index.start()
        self.stats.notify()
        try:
            with first_error_only():
                async with asyncio.TaskGroup() as tasks:
                    counting = tasks.create_task(self._discover_stage.count(inputs))
                    tasks.create_task(self._discover_stage.run(inputs))
                    tasks.create_task(self._deduplicate())
                    tasks.create_task(self._decode())
                    tasks.create_task(self._embed_stage.encode_requests())
                    tasks.create_task(self._embed_stage.join_sources())
                    tasks.create_task(self._write(counting))
        finally:
            self._stop.set()
            self._threads.shutdown(wait=False)
            await self._memory.close()
        await self._finish()
        files: list[IngestedFile] = []
        if self.stats.files:
            async with self.database.connection() as connection:
                files = await ingested_files(connection, self.collection, self.stats.files)
        stage_seconds = self._pool.stage_seconds
        self.stats.add_time("decode", self._pool.busy_seconds - sum(stage_seconds.values()))
        for stage, seconds in stage_seconds.items():
            self.stats.add_time(stage, seconds)
        self.stats.notify("done")
        return self.stats.summary(self.options.worker_count, self._pool.peak_rss_kib, files)

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function in a thread of this ingest, which ends soon after a cancel."""
        work = self._threads.submit(function, *arguments)
        self.threads[:] = [each for each in self.threads if not each.done()] + [work]
        return await asyncio.wrap_future(work)

    async def _deduplicate(self) -> None:
        """Pass on new, changed and failed sources, in discovery order."""
        while (task := await self._hashed.get()) is not None:
            decisions = await self._dedup.decide(await task)
            self._decided += len(decisions)
            self.stats.passed["check"] = self._decided
            self.stats.total = max(self.stats.total, self._decided)
            for decision in decisions:
                await self._account(decision)
            for decision in decisions:
                match decision:
                    case stages.NewSource() | stages.ChangedSource():
                        await self._decode_stage.submit(decision)
                    case stages.FailedSource():
                        await self._decoded.put(decision)
            self.stats.notify()
        await self._queue.close()

    async def _account(self, decision: stages.DedupDecision) -> None:
        """Count a decision, release the bytes of skipped files, and expect new vectors."""
        match decision:
            case stages.NewSource() | stages.ChangedSource():
                existing = decision.existing if isinstance(decision, stages.ChangedSource) else None
                tiles = TYPICAL_TILES if self.planner.needs_tiles(existing) else 0
                for space, index in self._indexes.items():
                    is_new = existing is None
                    index.add_expected(tiles if space is self.spaces.region else int(is_new))
            case stages.UnchangedSource() | stages.DuplicateFile():
                file, key = decision.hashed.file, decision.hashed.content_key
                if isinstance(decision, stages.UnchangedSource):
                    self.stats.add_file(file.name, "unchanged", key)
                elif not decision.pending:
                    self.stats.add_file(file.name, "duplicate", key)
                await self._release_file(file)

    async def _release_file(self, file: stages.DiscoveredFile) -> None:
        await self._lookahead.release(len(file.data or b""))
        await self._memory.release(file)

    async def _decode(self) -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.options.worker_count):
                workers.create_task(self._pool.run(self._queue.take))
        await self._requests.put(None)
        await self._decoded.put(None)

    async def _write(self, counting: asyncio.Task[None]) -> None:
        while batch := await self._next_batch():
            await counting
            scale = self.stats.total / max(1, self._decided)
            for index in self._indexes.values():
                await index.drop_if_large(scale)
            started = time.perf_counter()
            batch = await self._in_thread(add_passages, batch, self._stop)
            if self._text_encoder is not None:
                batch = await add_vectors(batch, self._text_encoder, self.stats.warn)
            self.stats.add_time("passages", time.perf_counter() - started)
            started = time.perf_counter()
            await self._commit(batch)
            self.stats.add_time("write", time.perf_counter() - started)
            self.stats.notify()

    async def _next_batch(self) -> list[stages.FinishedSource]:
        """Return all sources that wait, at most ``write_rows``; none at the end."""
        first = await self._embedded.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < self.options.write_rows and not self._embedded.empty():
            source = self._embedded.get_nowait()
            if source is None:
                self._embedded.put_nowait(None)
                break
            batch.append(source)
        return batch

    async def _commit(self, batch: Sequence[stages.FinishedSource]) -> None:
        for result in await self._writer.write(batch):
            source, file = result.source, result.source.hashed.file
            duplicates = self._dedup.release(source.decoded.source) if source.decoded else []
            await self._release_file(file)
            if source.decoded is not None:
                await self._waiting_text.release(source.decoded.text_chars)
            if isinstance(source, stages.FailedSource):
                for name in (file.name, *duplicates):
                    self.stats.fail(source.failure.code, name, str(source.failure))
                continue
            key = source.hashed.content_key
            self.stats.add_file(file.name, result.outcome, key)
            for name in duplicates:
                self.stats.add_file(name, "duplicate", key)
            if result.outcome != "unchanged":
                self.stats.images += len(source.assets)
                self.stats.readings.update(source.decoded.readings.values())
                self.stats.passages += sum(p.draft.kind not in NAME_KINDS for p in source.passages)

    async def _finish(self) -> None:
        self.stats.notify("index")
        started = time.perf_counter()
        added = self.stats.images + self.stats.passages
        for index in self._indexes.values():
            await index.finish(added)
        if added >= MIN_ANALYZE_ROWS:
            async with self.database.write_connection() as connection:
                await connection.execute(_SQL["analyze"])
        self.stats.add_time("index", time.perf_counter() - started)
        await self.detect.run()
        started = time.perf_counter()
        self.stats.notes += await judge_encoder(
            self.database,
            self.spaces.asset,
            self.collection,
            self.encoder,
            added=added,
            batch_size=self.options.batch_size,
        )
        self.stats.add_time("reliability", time.perf_counter() - started)
