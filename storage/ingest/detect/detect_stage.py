"""Detect the vocabulary of a collection on its pictures, at the end of an ingest.

The boxes are annotations with the origin ``detector``. Each asset records with what it was searched
(``detection_run``), so that an ingest searches new pictures, and all again after the vocabulary or
the detector has changed. Its previous boxes are deleted in the same transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, load_sql
from sightline.storage.db.row_locks import lock
from sightline.storage.errors import ConfigurationError, MediaError, ModelError, shown
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.decode.worker.worker_protocol import BlobSource
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.interfaces import Detection, Detector, Pixels
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import collection_lock

logger = logging.getLogger(__name__)

DETECT_SETTING: Final = "detect"
"""The collection setting with the phrases that are looked for in each picture."""
MAX_PHRASES: Final = 100
MAX_PHRASE_CHARS: Final = 100
#: Boxes that one picture may have; the surest stay.
_MAX_BOXES: Final = 200
#: Long edge of the pictures that the detector prepares; production models use about 1,000 pixels.
_EDGE_PIXELS: Final = 1280
_BATCH_PICTURES: Final = 8
_PAGE_ASSETS: Final = 256
_WAIT_SECONDS: Final = 600.0

_SQL = load_sql("detection")


class DetectorProvider(Protocol):
    """A detector that is loaded when it is needed."""

    async def get(self) -> Detector:
        """Return the detector. Raises ModelError."""
        ...


@dataclass(frozen=True, slots=True)
class _Picture:
    id: str
    location: str
    sha256: bytes
    source: str


def vocabulary(collection: Collection, detector: DetectorProvider | None) -> list[str] | None:
    """Return the phrases to look for; None if the collection never had any.

    Raises ConfigurationError for an invalid setting, or if there is no detector.
    """
    value = collection.settings.get(DETECT_SETTING)
    if value is None:
        return None
    where = f"the setting {DETECT_SETTING!r} of collection {collection.name!r}"
    if not isinstance(value, list) or not all(
        isinstance(each, str) and each.strip() and len(each) <= MAX_PHRASE_CHARS for each in value
    ):
        raise ConfigurationError(
            f"{where} is {shown(str(value))}; use a list of phrases of at most "
            f"{MAX_PHRASE_CHARS} characters"
        )
    if len(value) > MAX_PHRASES:
        raise ConfigurationError(f"{where} has {len(value)} phrases; use at most {MAX_PHRASES}")
    if value and detector is None:
        raise ConfigurationError(
            f"{where} has phrases, but there is no detector; set detector.model, or set the "
            "setting to []"
        )
    return list(dict.fromkeys(" ".join(each.split()) for each in value))


class DetectStage:
    """Brings the boxes of a collection up to date with its vocabulary."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        collection: Collection,
        detector: DetectorProvider | None,
        options: IngestOptions,
        stats: IngestStats,
    ) -> None:
        """Check the vocabulary. Raises ConfigurationError."""
        self._database, self._blobs, self._collection = database, blobs, collection
        self._detector, self._options, self._stats = detector, options, stats
        self._phrases = vocabulary(collection, detector)

    async def run(self) -> None:
        """Search the pictures that were not searched for these phrases by this detector.

        Does nothing for a collection that never had a vocabulary. A picture that cannot be read, or
        on which the detector fails, is reported and tried again by the next ingest.
        """
        if self._phrases is None:
            return
        started = time.perf_counter()
        try:
            if self._detector is None or not self._phrases:
                await self._delete_all()
                return
            detector = await self._detector.get()
            run = _Run(
                self._database,
                self._blobs,
                self._collection,
                detector,
                self._phrases,
                self._options,
                self._stats,
            )
            await run.run()
        except ModelError as error:
            self._stats.warn("not_detected", self._collection.name, str(error))
        finally:
            self._stats.add_time("detect", time.perf_counter() - started)

    async def _delete_all(self) -> None:
        values = {"collection_id": self._collection.id}
        async with self._database.write_connection() as connection:
            await connection.execute(_SQL["delete_all"], values)
            await connection.execute(_SQL["unmark_all"], values)


@dataclass(slots=True)
class _Run:
    database: Database
    blobs: BlobStore
    collection: Collection
    detector: Detector
    phrases: Sequence[str]
    options: IngestOptions
    stats: IngestStats

    async def run(self) -> None:
        name = run_name(self.detector, self.phrases)
        workers = 2 * min(4, self.options.worker_count)  # a caller gets half of them
        decoder = ImageDecoder(
            max_pixels=self.options.max_pixels,
            memory_mib=self.options.worker_memory_mib,
            timeout_seconds=self.options.file_timeout_seconds,
            workers=workers,
        )
        try:
            async with aclosing(self._pages(name)) as pages:
                async for page in pages:
                    await self._write(name, await self._detect(decoder, page))
        finally:
            await decoder.close()

    async def _pages(self, run: str) -> AsyncGenerator[list[_Picture], None]:
        """Yield the pictures that were not searched by this run, some at a time."""
        last = ""
        while True:
            values = {
                "collection_id": self.collection.id,
                "run": run,
                "after": last,
                "limit": _PAGE_ASSETS,
            }
            async with self.database.connection() as connection:
                page = await fetch_all(connection, _SQL["outdated"], values, row=_Picture)
            if not page:
                return
            last = page[-1].id
            yield page

    async def _detect(
        self, decoder: ImageDecoder, page: Sequence[_Picture]
    ) -> dict[str, list[Detection]]:
        """Return the detections by asset; the next pictures load while the model runs."""
        found: dict[str, list[Detection]] = {}
        batches = [
            page[start : start + _BATCH_PICTURES] for start in range(0, len(page), _BATCH_PICTURES)
        ]
        loading = asyncio.create_task(self._load(decoder, batches[0]))
        try:
            for number in range(len(batches)):
                loaded = await loading
                if number + 1 < len(batches):
                    loading = asyncio.create_task(self._load(decoder, batches[number + 1]))
                if loaded:
                    detected = await self.detector.detect(list(loaded.values()), self.phrases)
                    found |= dict(zip(loaded, detected, strict=True))
        finally:
            loading.cancel()
        return found

    async def _load(self, decoder: ImageDecoder, pictures: Sequence[_Picture]) -> dict[str, Pixels]:
        loaded = await asyncio.gather(*(self._load_one(decoder, each) for each in pictures))
        return {
            picture.id: pixels
            for picture, pixels in zip(pictures, loaded, strict=True)
            if pixels is not None
        }

    async def _load_one(self, decoder: ImageDecoder, picture: _Picture) -> Pixels | None:
        place = (str(self.blobs.data_dir), picture.location, picture.sha256.hex(), picture.source)
        try:
            decoded = await decoder.load(BlobSource(*place), max_edge=_EDGE_PIXELS)
        except MediaError as error:
            self.stats.warn("not_detected", picture.source, str(error))
            return None
        return await asyncio.to_thread(self.detector.preprocess, decoded.image)

    async def _write(self, run: str, found: dict[str, list[Detection]]) -> None:
        """Replace the boxes of these assets and mark them as searched."""
        rows = [(id_, each) for id_, each_list in found.items() for each in each_list[:_MAX_BOXES]]
        corners = zip(*(each.box for _, each in rows), strict=True) if rows else [[]] * 4
        values: dict[str, Any] = {
            "ids": list(found),
            "run": run,
            "model": self.detector.name,
            "asset_ids": [id_ for id_, _ in rows],
            "labels": [each.phrase for _, each in rows],
            "scores": [each.score for _, each in rows],
            **{
                key: list(each) for key, each in zip(("x0", "y0", "x1", "y1"), corners, strict=True)
            },
        }
        turn = collection_lock(self.collection.id, self.collection.name, _WAIT_SECONDS)
        async with self.database.write_connection() as connection:
            await lock(connection, turn)  # two ingests would store the boxes twice
            await connection.execute(_SQL["delete_of_assets"], values)
            await connection.execute(_SQL["insert"], values)
            await connection.execute(_SQL["mark"], values)


def run_name(detector: Detector, phrases: Sequence[str]) -> str:
    """Return what ``detection_run`` records: detector and digest of the vocabulary."""
    digest = hashlib.sha256(json.dumps(sorted(phrases)).encode()).hexdigest()
    return f"{detector.name} {digest[:12]}"
