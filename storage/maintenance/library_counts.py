"""Counts what the collections of a database contain, for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, fetch_pairs, fetch_value, load_sql

#: Each collection makes a few time series.
MAX_COLLECTIONS = 50
_SQL = load_sql("library_counts")


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """Contents of one collection, or of all others if ``name`` is None.

    ``ingested_at`` is the time of the last ingest that changed it, in seconds since 1970.
    """

    name: str | None
    assets: int
    passages: int
    done_sources: int
    failed_sources: int
    ingested_at: float | None
    collections: int


@dataclass(frozen=True, slots=True)
class LibraryCounts:
    """Contents of a database; ``readings`` are assets by the way their text was read."""

    collections: Sequence[CollectionCounts]
    readings: Mapping[str, int]
    database_bytes: int


async def count_library(database: Database, most: int = MAX_COLLECTIONS) -> LibraryCounts:
    """Count with the rights of the server, reading each row. Raises StorageError."""
    async with database.connection(autocommit=True) as connection:
        return LibraryCounts(
            await fetch_all(connection, _SQL["collections"], {"most": most}, row=CollectionCounts),
            await fetch_pairs(connection, _SQL["readings"]),
            int(await fetch_value(connection, _SQL["database_bytes"])),
        )
