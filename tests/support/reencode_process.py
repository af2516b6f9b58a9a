# ruff: noqa: T201 - the parent reads the output
"""Re-encode in a separate process that a test can kill.

    python -m tests.support.reencode_process DSN DATA_FOLDER COLLECTION

Prints ``<done> <total>`` for committed vectors, and ``switched`` at the end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.reencode.reencoding import ReencodeProgress, reencode
from tests.support.encoders import BrightnessEncoder


def tell(progress: ReencodeProgress) -> None:
    print(progress.done, progress.total, flush=True)


async def main(dsn: str, data: str, collection: str) -> None:
    database = await Database.open(dsn)
    encoder = BrightnessEncoder()
    summary = await reencode(
        database,
        BlobStore(Path(data)),
        encoder,
        collection,
        passage_encoder=encoder,
        options=IngestOptions(workers=1, batch_size=8),
        progress=tell,
    )
    await database.close()
    print("switched" if summary.switched else "not switched", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
