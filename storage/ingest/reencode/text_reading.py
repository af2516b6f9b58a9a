"""Read the text of images again, after a change of OCR engine, mode or languages.

Each source is read from its bytes as in an ingest. One transaction replaces its lines, boxes and
passages, so a search finds the old text or the new one. Captions, names, annotations and the
vectors of images stay. A killed run continues with the sources that are left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, fetch_value, load_sql
from sightline.storage.errors import ConfigurationError, MediaError, first_error_only
from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.collection_settings import ocr_policy
from sightline.storage.ingest.decode.decode_planner import DecodePlanner
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore, DecodeQueue
from sightline.storage.ingest.decode.decode_stage import DecodeStage
from sightline.storage.ingest.decode.text_analysis import TextAnalyzer
from sightline.storage.ingest.decode.transcription import SpeechStage
from sightline.storage.ingest.decode.worker_pool import WorkerPool, no_preprocess
from sightline.storage.ingest.embed.embed_stage import BatchEncoder
from sightline.storage.ingest.embed.source_passages import add_passages, add_vectors
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.source_description import NO_DESCRIPTION, SourceDescription
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.ingest.reencode.reencoding import ReencodeProgress
from sightline.storage.ingest.reencode.space_switch import turn
from sightline.storage.ingest.store.copy_rows import BatchRows, PassageRow, RegionRow, TargetSpaces
from sightline.storage.ingest.store.source_updates import PDF_TEXT_KINDS
from sightline.storage.ingest.store.writer import ExistingAsset
from sightline.storage.interfaces import OcrEngine, TextEncoder
from sightline.storage.records import collections, embedding_spaces, picture_pairs
from sightline.storage.records.collections import Collection
from sightline.storage.records.deleted_words import DeletedWords

_SQL = load_sql("reencode")
_INGEST = load_sql("ingest")
_ROWS = 64
_MAX_WAITING_CHARS = 16 << 20
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class RereadSummary:
    """How many sources were read again; ``unreadable`` are reasons by name."""

    collection: str
    ocr_engine: str
    sources: int
    lines: int
    unreadable: Mapping[str, str]


class _RereadStage(DecodeStage):
    """Decodes sources without what describes them, which stays as it is."""

    async def describe(self, *_: object, **__: object) -> SourceDescription:
        return NO_DESCRIPTION


async def reread_text(
    database: Database,
    blobs: BlobStore,
    collection: str,
    ocr_engine: OcrEngine | None,
    *,
    passage_encoder: TextEncoder,
    options: IngestOptions | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[ReencodeProgress], None] = lambda _: None,
) -> RereadSummary:
    """Read the text of all images that another engine or mode has read, or none.

    ``settings`` of the collection, such as OCR languages, are set first. Raises UnknownNameError,
    ConfigurationError if OCR is off, SpaceMismatchError if ``passage_encoder`` did not make the
    vectors of the passages, ModelError and StorageError.
    """
    options = options or IngestOptions()
    async with database.connection() as connection:
        target = await collections.get(connection, collection)
        spaces = await embedding_spaces.of_collection(connection, target.id)
    if "passage" in spaces:
        spaces["passage"].require(passage_encoder.identity)
    settings = settings or {}
    target = replace(target, settings={**target.settings, **settings})
    mode, engine = ocr_policy(target, options, ocr_engine)
    if engine is None:
        raise ConfigurationError(
            f"OCR of {target.name!r} is off. Set the setting 'ocr' of the collection, or "
            "SIGHTLINE_INGEST__OCR, to 'auto' or 'on'."
        )
    if settings:
        async with database.write_connection() as connection:
            target = await collections.update_settings(connection, target, settings)
    planner = DecodePlanner(mode, engine.name, tiles=False)
    if "asset" not in spaces:  # nothing was ever ingested
        return RereadSummary(target.name, planner.ocr_key, 0, 0, {})
    run = _Rereading(
        database=database,
        blobs=blobs,
        collection=target,
        spaces=TargetSpaces(spaces["asset"], spaces.get("passage"), spaces.get("region")),
        planner=planner,
        pool=WorkerPool(no_preprocess, options, engine),
        encode=(
            BatchEncoder.of_passages(passage_encoder, options.batch_size)
            if "passage" in spaces
            else None
        ),
        options=options,
        progress=progress,
    )
    with first_error_only():
        return await run.run()


@dataclass(kw_only=True)
class _Rereading:
    database: Database
    blobs: BlobStore
    collection: Collection
    spaces: TargetSpaces
    planner: DecodePlanner
    pool: WorkerPool
    encode: BatchEncoder[str] | None
    options: IngestOptions
    progress: Callable[[ReencodeProgress], None]
    _unreadable: dict[str, str] = field(default_factory=dict)
    _total: int = 0
    _passed: int = 0
    _read: int = 0
    _lines: int = 0

    def __post_init__(self) -> None:
        self._queue = DecodeQueue(max_decode_jobs=4 * self.options.worker_count)
        self._decoded: asyncio.Queue[stages.DecodedSource | stages.FailedSource | None] = (
            asyncio.Queue()
        )
        self._waiting_text = AmountSemaphore(_MAX_WAITING_CHARS)
        self._stage = _RereadStage(
            self._queue,
            asyncio.Queue(),  # images are not encoded
            self._decoded,
            TextAnalyzer(self._queue, self._decoded, self._waiting_text, self.options),
            SpeechStage(None, IngestStats(self.collection.name, lambda _: None)),
            self.planner,
            zone=ZoneInfo(self.options.timezone),
            warn=self._warn,
            blobs=self.blobs,
            options=self.options,
        )

    @property
    def _engines(self) -> list[str]:
        """The recorded engines of sources that need no reading."""
        return [self.planner.ocr_key, f"on: {self.planner.ocr_engine}"]

    async def run(self) -> RereadSummary:
        params = {"collection_id": self.collection.id, "engines": self._engines}
        async with self.database.connection() as connection:
            self._total = await fetch_value(connection, _SQL["count_sources_to_read"], params)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._submit())
            tasks.create_task(self._decode())
            tasks.create_task(self._write())
        return RereadSummary(
            self.collection.name,
            self.planner.ocr_key,
            self._read,
            self._lines,
            dict(self._unreadable),
        )

    def _warn(self, code: str, name: str, reason: str) -> None:
        if code == "ocr_failed":
            self._unreadable[name] = reason

    async def _submit(self) -> None:
        """Queue the sources, in the order of their ids."""
        after = -1
        while True:
            params = {
                "collection_id": self.collection.id,
                "engines": self._engines,
                "after": after,
                "rows": _ROWS,
            }
            query = _SQL["sources_to_read"]
            async with self.database.connection() as connection:
                rows = await fetch_all(connection, query, params, row=stages.ExistingSource)
            if not rows:
                break
            after = rows[-1].id
            for existing in rows:
                try:
                    hashed = await self._hashed(existing)
                except MediaError as error:
                    self._skip(existing.name, error)
                    continue
                await self._stage.submit(stages.ChangedSource(hashed, existing))
        await self._queue.close()

    async def _hashed(self, existing: stages.ExistingSource) -> stages.HashedFile:
        """Return the file of a source. Raises MediaError if it is gone or has changed."""
        location, key, name = existing.location, existing.content_key, existing.name
        if not location.startswith(_FILE):
            data = await asyncio.to_thread(self.blobs.read, location, key, name=name)
            file = stages.DiscoveredFile(name, name, data=data)
            return stages.HashedFile(file, key, location, len(data))
        path = location.removeprefix(_FILE)
        digest, stamp = await self._queue.hash_file(path)
        if digest != key:
            raise MediaError("changed", "has changed since ingest; ingest it again")
        file = stages.DiscoveredFile(name, path, path)
        return stages.HashedFile(file, key, location, stamp.size, stamp)

    async def _decode(self) -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.options.worker_count):
                workers.create_task(self.pool.run(self._queue.take))
        await self._decoded.put(None)

    async def _write(self) -> None:
        self._report()
        while (source := await self._decoded.get()) is not None:
            if isinstance(source, stages.FailedSource):
                self._skip(source.hashed.file.name, source.failure)
                continue
            if isinstance(source.source, stages.ChangedSource):
                await self._replace(source.source.existing, await self._passages(source))
            await self._waiting_text.release(source.text_chars)
            self._passed += 1
            self._report()

    async def _passages(self, source: stages.DecodedSource) -> stages.EmbeddedSource:
        """Return the source with its new passages and their vectors."""
        lines = tuple(stages.Embedded(line, None) for line in source.ocr_lines)
        embedded = stages.EmbeddedSource(source, regions=lines)
        finished = await asyncio.to_thread(add_passages, [embedded], Event())
        if self.encode is not None:
            finished = await add_vectors(finished, self.encode, self._warn)
        passages = [
            passage
            for each in finished
            if isinstance(each, stages.EmbeddedSource)
            for passage in each.passages
            if passage.draft.kind != "name"  # the name stays
        ]
        return replace(embedded, passages=tuple(passages))

    async def _replace(
        self, existing: stages.ExistingSource, source: stages.EmbeddedSource
    ) -> None:
        """Replace the lines and passages of a source, in one transaction."""
        decoded = source.decoded
        id_ = existing.id
        async with turn(self.database, self.collection) as connection:
            await embedding_spaces.require_used(
                connection, self.collection.id, self.collection.name, self.spaces
            )
            params = {
                "id": id_,
                "collection_id": self.collection.id,
                "ocr_engine": decoded.ocr_engine,
            }
            if await fetch_value(connection, _SQL["set_ocr_engine"], params) is None:
                return
            kinds: set[str] = {"ocr", *(each.draft.kind for each in source.passages)}
            if existing.kind == "pdf":
                kinds |= PDF_TEXT_KINDS
            words = DeletedWords()
            await words.collect(connection, sources=[id_], kinds=sorted(kinds))
            values: dict[str, Any] = {"ids": [id_], "kinds": ["ocr_line"]}
            await connection.execute(_INGEST["delete_regions"], values)
            values = {"ids": [id_], "kinds": sorted(kinds)}
            await connection.execute(_INGEST["delete_passages"], values)
            if readings := decoded.readings:
                values = {
                    "id": id_,
                    "ordinals": list(readings),
                    "readings": list(readings.values()),
                }
                await connection.execute(_INGEST["update_readings"], values)
            assets = await self._assets(connection, id_)
            rows = BatchRows(
                regions=[
                    RegionRow(assets[each.draft.asset], each)
                    for each in source.regions
                    if each.draft.asset in assets
                ],
                passages=[
                    PassageRow(id_, None if asset is None else assets[asset], each)
                    for each in source.passages
                    if (asset := each.draft.asset) is None or asset in assets
                ],
            )
            await rows.copy(connection, self.collection.id, self.spaces)
            await words.forget(connection)
            await picture_pairs.store_pairs(connection, list(assets.values()))
        self._read += 1
        self._lines += len(source.regions)

    async def _assets(self, connection: Connection, source_id: int) -> dict[int, str]:
        """Return the ids of the assets of a source by ordinal; some may be deleted."""
        values = {"ids": [source_id]}
        query = _INGEST["assets_of_sources"]
        found = await fetch_all(connection, query, values, row=ExistingAsset)
        return {each.ordinal: each.id for each in found}

    def _skip(self, name: str, error: MediaError) -> None:
        self._unreadable[name] = str(error)
        self._passed += 1
        self._report()

    def _report(self) -> None:
        self.progress(ReencodeProgress(self._passed, max(self._passed, self._total)))
