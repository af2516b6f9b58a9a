"""The vector index during a load: kept up to date by small ones, built after large ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_items import Work
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

log = logging.getLogger(__name__)

_SQL = sql_loader.load("ingest")
_ANALYZE_ROWS = 100  # fewer change no plan


class IndexCare:
    """Looks after the index of one space through an ingest.

    A load that was cut off leaves a space without its index: the next `finish`, of an ingest or
    at the start of a server (`repair`), builds it.
    """

    def __init__(
        self,
        database: Database,
        space: EmbeddingSpace,
        options: IngestOptions,
        rows_of: Callable[[Work], int],
    ) -> None:
        """``rows_of`` says about how many vectors a work brings."""
        self._rows_of = rows_of
        self._coming = 0
        self._database = database
        self._space = space
        self._options = options
        self._rows = 0
        self._indexed = True

    async def start(self) -> None:
        """Look at what is there."""
        async with self._database.connection() as connection:
            self._indexed = await embedding_spaces.has_index(connection, self._space)
            self._rows = await embedding_spaces.count_vectors(connection, self._space)

    def notice(self, works: Sequence[Work]) -> None:
        """Count what comes of works that something is to be done about."""
        self._coming += sum(self._rows_of(work) for work in works if work.failure is None)

    async def expect(self, scale: float) -> None:
        """Drop the index if building it afterwards is faster.

        ``scale`` is how many times what was noticed so far is to come in all.
        """
        rows = round(self._coming * scale)
        large = rows > self._options.bulk_rows and rows > self._options.bulk_fraction * self._rows
        if not self._indexed or not large:
            return
        log.info("about %d vectors to come: the index is built after them", rows)
        async with self._database.connection() as connection:
            await embedding_spaces.drop_index(connection, self._space)
        self._indexed = False

    async def finish(self, rows_added: int) -> None:
        """Build the index where it is missing, and tell the planner what is new."""
        async with self._database.connection() as connection:
            await embedding_spaces.ensure_index(connection, self._space)
            if rows_added >= _ANALYZE_ROWS:
                await connection.execute(self._space.compose(_SQL["analyze_partition"]))


async def repair(database: Database) -> None:
    """Build the vector indexes that a cut-off load left missing."""
    async with database.connection() as connection:
        for space in await embedding_spaces.list_spaces(connection):
            await embedding_spaces.ensure_index(connection, space)
