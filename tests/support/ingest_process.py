# ruff: noqa: T201 - the parent reads the output
"""Ingest in a separate process that a test can kill.

    python -m tests.support.ingest_process DSN DATA_FOLDER COLLECTION PATH...

Prints ``<done> <added>`` each time the committed counts change, and the summary as JSON at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestProgress
from tests.support.encoders import ColorHistogramEncoder


async def main(dsn: str, data: str, collection: str, *paths: str) -> None:
    """Ingest with one worker and small batches, for many commits."""
    said = (-1, -1)

    def tell(progress: IngestProgress) -> None:
        nonlocal said
        now = (progress.done, progress.added)
        if now != said:
            said = now
            print(*now, flush=True)

    encoder = ColorHistogramEncoder()
    database = await Database.open(dsn)
    options = IngestOptions(workers=1, batch_size=8, write_rows=8)
    summary = await ingest(
        database,
        BlobStore(Path(data)),
        encoder,
        paths,
        collection=collection,
        options=options,
        progress=tell,
        passage_encoder=encoder,
    )
    print(json.dumps(summary.as_json()), flush=True)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
