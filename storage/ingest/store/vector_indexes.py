"""Maintain vector indexes: update them in small loads, rebuild after large ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import LockTimeoutError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

logger = logging.getLogger(__name__)

_SQL = load_sql("ingest")
MIN_ANALYZE_ROWS = 100
"""Fewer new rows do not change query plans."""


@dataclass(slots=True)
class VectorIndexMaintainer:
    """Maintains the index of one embedding space during an ingest.

    An interrupted load leaves the space without an index. The next `finish`, or
    `build_missing_indexes` at the start of a server, builds it.
    """

    database: Database
    space: EmbeddingSpace
    options: IngestOptions
    _expected_rows: int = 0
    _existing_rows: int = 0
    _has_index: bool = True

    async def start(self) -> None:
        async with self.database.connection() as connection:
            self._has_index = await embedding_spaces.has_index(connection, self.space)
            self._existing_rows = await embedding_spaces.count_vectors(connection, self.space)

    def add_expected(self, rows: int) -> None:
        """Add the vectors that the sources accepted so far will have."""
        self._expected_rows += rows

    async def drop_if_large(self, scale: float) -> None:
        """Drop the index if it is faster to build it after the load.

        ``scale`` is the ratio of all files to those that were accepted or skipped so far.
        """
        rows = round(self._expected_rows * scale)
        min_rows = max(self.options.bulk_rows, self.options.bulk_fraction * self._existing_rows)
        if not self._has_index or rows <= min_rows:
            return
        try:
            async with self.database.write_connection() as connection:
                await embedding_spaces.drop_index(connection, self.space)
        except LockTimeoutError:
            logger.info("the vector index is in use; keeping it during the load, which is slower")
            return
        logger.info("expecting about %d vectors: building the index after the load", rows)
        self._has_index = False

    async def finish(self, added_rows: int) -> None:
        """Build a missing index and update the statistics of the planner."""
        await _ensure_index(self.database, self.space)
        if added_rows >= MIN_ANALYZE_ROWS:
            async with self.database.write_connection() as connection:
                await connection.execute(self.space.compose(_SQL["analyze_partition"]))


async def build_missing_indexes(database: Database) -> None:
    """Build the vector indexes that an interrupted load left missing."""
    async with database.connection() as connection:
        spaces = await embedding_spaces.list_spaces(connection)
    for space in spaces:
        await _ensure_index(database, space)


async def _ensure_index(database: Database, space: EmbeddingSpace) -> None:
    async with database.connection() as connection:
        if await embedding_spaces.has_index(connection, space):
            return
    try:
        async with database.write_connection() as connection:
            await embedding_spaces.ensure_index(connection, space)
    except LockTimeoutError:
        logger.info("the index of embedding space %d is built by another process", space.id)
