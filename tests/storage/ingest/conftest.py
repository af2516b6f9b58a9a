"""Ingest into a fresh database, and look at what it left there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.blobs import ObjectStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.discover.discovered_file import Upload
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import Progress, Summary
from sightline.storage.interfaces import ImageEncoder, TextReader
from tests.support.encoders import ColourHistogramEncoder

TABLES = ("source", "asset", "thumbnail", "said", "posting", "embedding")
# Every source has a passage of its name as well, which most tests do not ask for.
_SAID = "CREATE VIEW sightline.said AS SELECT * FROM sightline.passage WHERE kind <> 'name'"


@dataclass
class Bench:
    """A database, an object store, an encoder, and short ways to use them."""

    database: Database
    objects: ObjectStore
    encoder: ImageEncoder = field(default_factory=ColourHistogramEncoder)
    reader: TextReader | None = None
    progress: list[Progress] = field(default_factory=list)

    async def ingest(
        self,
        *paths: str | Path | Upload,
        collection: str = "album",
        encoder: ImageEncoder | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Summary:
        """With one worker, unless told otherwise."""
        return await ingest(
            self.database,
            self.objects,
            encoder or self.encoder,
            paths,
            collection=collection,
            options=IngestOptions(**{"workers": 1, **options}),
            progress=self.progress.append,
            passage_encoder=self.encoder,
            reader=self.reader,
            settings=settings,
        )

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {
            table: (await self.rows(f"SELECT count(*) FROM sightline.{table}"))[0][0]
            for table in TABLES
        }

    async def failures(self) -> dict[str, str]:
        """Name to code of what is recorded as failed."""
        query = "SELECT name, error_code FROM sightline.source WHERE state = 'failed'"
        return dict(await self.rows(query))


@pytest.fixture
async def bench(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    async with database.connection() as connection:
        await connection.execute(_SAID)
    return Bench(database, ObjectStore(tmp_path_factory.mktemp("data")))


Ingest = Callable[..., Awaitable[Summary]]


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder ``album`` in the current folder, so that names are short."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "album"
    folder.mkdir()
    return folder
