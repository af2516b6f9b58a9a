"""An empty database to ingest into, and helpers to query the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.detect.detect_stage import DetectorProvider
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestProgress, IngestSummary
from sightline.storage.interfaces import ImageEncoder, OcrEngine, Transcriber
from tests.support.encoders import ColorHistogramEncoder

TABLES = ("source", "asset", "thumbnail", "content_passage", "posting", "embedding")
# Every source also has a passage for its file name, which most tests do not need.
_CONTENT_PASSAGES = (
    "CREATE VIEW sightline.content_passage AS SELECT * FROM sightline.passage WHERE kind <> 'name'"
)


@dataclass
class Bench:
    """A database, a blob store and an encoder, with short methods to use them."""

    database: Database
    blobs: BlobStore
    encoder: ImageEncoder = field(default_factory=ColorHistogramEncoder)
    ocr_engine: OcrEngine | None = None
    transcriber: Transcriber | None = None
    detector: DetectorProvider | None = None
    progress: list[IngestProgress] = field(default_factory=list)

    async def ingest(
        self,
        *paths: str | Path | Upload,
        collection: str = "album",
        encoder: ImageEncoder | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> IngestSummary:
        """Ingest with one worker unless ``workers`` is given."""
        return await ingest(
            self.database,
            self.blobs,
            encoder or self.encoder,
            paths,
            collection=collection,
            options=IngestOptions(**{"workers": 1, **options}),
            progress=self.progress.append,
            passage_encoder=self.encoder,
            ocr_engine=self.ocr_engine,
            transcriber=self.transcriber,
            detector=self.detector,
            settings=settings,
        )

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def counts(self) -> dict[str, int]:
        """Return the number of rows per table."""
        return {
            table: (await self.rows(f"SELECT count(*) FROM sightline.{table}"))[0][0]
            for table in TABLES
        }

    async def failures(self) -> dict[str, str]:
        """Return the error code of each failed source, by name."""
        query = "SELECT name, error_code FROM sightline.source WHERE state = 'failed'"
        return dict(await self.rows(query))


@pytest.fixture
async def bench(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    async with database.connection() as connection:
        await connection.execute(_CONTENT_PASSAGES)
    return Bench(database, BlobStore(tmp_path_factory.mktemp("data")))


Ingest = Callable[..., Awaitable[IngestSummary]]


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder ``album`` in the current folder, so that names are short."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "album"
    folder.mkdir()
    return folder
