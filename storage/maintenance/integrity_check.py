"""Checks the integrity of rows and files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_pairs, fetch_values, load_sql

Severity = Literal["error", "warning"]

_SQL = load_sql("check")
_MAX_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class IntegrityFinding:
    """A violated invariant.

    An ``error`` makes results wrong or incomplete; a ``warning`` costs space or time.
    """

    code: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    message: str
    """What it means and how to repair it."""

    def __str__(self) -> str:
        examples = ", ".join(self.examples)
        return f"{self.severity}: {self.code}, {self.count}: {self.message} ({examples})"


_INGEST = "ingest the source again"
# A check of rows has a block of its name in ``check.sql``; the others are about files.
_CHECKS: dict[str, tuple[Severity, str]] = {
    "asset_without_vector": ("error", f"images that no visual search finds; {_INGEST}"),
    "source_without_tiles": ("warning", f"sources whose images have no tiles; {_INGEST}"),
    "tile_without_vector": ("error", f"images with tiles that no search finds; {_INGEST}"),
    "asset_without_thumbnail": ("error", f"images without a thumbnail; {_INGEST}"),
    "passage_without_vector": ("error", f"passages that no semantic search finds; {_INGEST}"),
    "passage_without_postings": ("error", f"passages that no keyword search finds; {_INGEST}"),
    "posting_without_passage": ("error", "postings of deleted passages; delete and ingest again"),
    "source_without_content": ("warning", "sources with neither an image nor a text"),
    "vector_of_another_collection": ("error", "vectors stored under the wrong collection"),
    "vector_in_an_unused_space": ("warning", "vectors that their collection does not use"),
    "unused_space": ("warning", "embedding spaces that no collection uses"),
    "space_without_partition": ("error", f"embedding spaces without a table; {_INGEST}"),
    "space_without_index": (
        "warning",
        "embedding spaces without a vector index, with slow searches; the next ingest builds it",
    ),
    "blob_missing": ("error", f"stored images that are missing; {_INGEST}"),
    "file_missing": (
        "warning",
        "ingested files that are missing; restore them, or forget them: sightline prune",
    ),
    "blob_unreferenced": (
        "warning",
        "stored files that no row references, of a running or interrupted ingest",
    ),
    "partial_file": ("warning", "incomplete files of a killed process"),
}


async def check(database: Database, blobs: BlobStore) -> list[IntegrityFinding]:
    """Return all findings, errors first. Reads everything and changes nothing."""
    # List files before rows: an ingest stores a file before the row that references it.
    stored = await asyncio.to_thread(lambda: set(blobs.locations()))
    async with database.connection() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute(_SQL["settings"])
        examples: dict[str, list[str]] = {
            code: await fetch_values(connection, _SQL[code]) for code in _CHECKS if code in _SQL
        }
        referenced = await fetch_pairs(connection, _SQL["locations"])
    missing = await asyncio.to_thread(
        lambda: [location for location in referenced if not blobs.exists(location)]
    )
    examples |= {
        "blob_missing": [referenced[each] for each in missing if each.startswith("object:")],
        "file_missing": [referenced[each] for each in missing if each.startswith("file:")],
        "blob_unreferenced": sorted(stored - referenced.keys()),
        "partial_file": await asyncio.to_thread(lambda: list(map(str, blobs.partial_files()))),
    }
    findings = [
        IntegrityFinding(code, severity, len(found), tuple(found[:_MAX_EXAMPLES]), message)
        for code, (severity, message) in _CHECKS.items()
        if (found := examples[code])
    ]
    return sorted(findings, key=lambda finding: (finding.severity != "error", finding.code))
