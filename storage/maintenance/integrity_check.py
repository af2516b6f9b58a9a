"""Looks for what must never be: rows that miss their other half, bytes that nothing names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sightline.storage.blobs import BlobStore
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database

Severity = Literal["error", "warning"]

_SQL = sql_loader.load("check")
_SHOWN_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that does not hold.

    An ``error`` makes results wrong or incomplete; a ``warning`` costs space or time.
    """

    code: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    message: str
    """What it means and how it is mended."""

    def __str__(self) -> str:
        examples = ", ".join(self.examples)
        return f"{self.severity}: {self.code}, {self.count}: {self.message} ({examples})"


_INGEST = "ingest the source again"
_ROWS: dict[str, tuple[Severity, str]] = {
    "asset_without_vector": ("error", f"pictures that no search by look finds; {_INGEST}"),
    "source_without_tiles": ("warning", f"pictures whose parts no search finds; {_INGEST}"),
    "tile_without_vector": ("error", f"parts of pictures that no search finds; {_INGEST}"),
    "asset_without_thumbnail": ("error", f"pictures without a thumbnail; {_INGEST}"),
    "passage_without_vector": ("error", f"passages that no search by meaning finds; {_INGEST}"),
    "passage_without_postings": ("error", f"passages that no search by words finds; {_INGEST}"),
    "posting_without_passage": ("error", "words of passages that are gone; delete and ingest anew"),
    "source_without_content": ("warning", "sources with neither a picture nor a text"),
    "vector_of_another_collection": ("error", "vectors filed under another collection"),
    "vector_in_an_unused_space": ("warning", "vectors that their collection does not use"),
    "space_without_partition": ("error", f"spaces without a table for their vectors; {_INGEST}"),
    "space_without_index": (
        "warning",
        "spaces without a vector index, which are searched slowly; the next ingest builds it",
    ),
}
_FILES: dict[str, tuple[Severity, str]] = {
    "object_missing": ("error", f"stored pictures that are gone; {_INGEST}"),
    "file_missing": ("warning", "files that are not where they were ingested from; put them back"),
    "object_unreferenced": (
        "warning",
        "stored files that nothing names: an ingest that runs, or was interrupted",
    ),
    "object_unfinished": ("warning", "halves of files that a killed process was writing"),
}


async def check(database: Database, objects: BlobStore) -> list[Finding]:
    """What is wrong, errors first; empty when all is well. Reads everything and changes nothing."""
    # The files first: an ingest stores a file before the row that names it, so what is named now
    # and was not stored then is found to be missing only if it is.
    stored = await asyncio.to_thread(lambda: set(objects.locations()))
    async with database.connection() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute(_SQL["settings"])
        findings = [
            _finding(code, severity, await _texts(connection, code), message)
            for code, (severity, message) in _ROWS.items()
        ]
        rows = await (await connection.execute(_SQL["locations"])).fetchall()
    named: dict[str, str] = dict(rows)
    gone = await asyncio.to_thread(
        lambda: [location for location in named if not objects.exists(location)]
    )
    by_code = {
        "object_missing": [each for each in gone if each.startswith("object:")],
        "file_missing": [each for each in gone if each.startswith("file:")],
        "object_unreferenced": sorted(stored - named.keys()),
        "object_unfinished": await asyncio.to_thread(
            lambda: list(map(str, objects.partial_files()))
        ),
    }
    for code, (severity, message) in _FILES.items():
        examples = [named.get(location, location) for location in by_code[code]]
        findings.append(_finding(code, severity, examples, message))
    return sorted(
        (finding for finding in findings if finding.count),
        key=lambda finding: (finding.severity != "error", finding.code),
    )


async def _texts(connection: Connection, block: str) -> list[str]:
    return [row[0] for row in await (await connection.execute(_SQL[block])).fetchall()]


def _finding(code: str, severity: Severity, found: Iterable[str], message: str) -> Finding:
    listed = list(found)
    return Finding(code, severity, len(listed), tuple(listed[:_SHOWN_EXAMPLES]), message)
