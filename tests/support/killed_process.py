"""Processes that a test kills: each ingests a folder, then annotates assets.

    python -m tests.support.killed_process

Reads one JSON object per line (``dsn``, ``data``, ``folder``) and forks a process for each, to save
the imports. The process prints ``pid N``, ``begin``, ``added N`` for committed files, ``saved ID``
for each saved annotation, and ``end``; then ``ended STATUS`` follows.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

import av  # noqa: F401 - loaded before the fork
import mcp  # noqa: F401

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestProgress
from sightline.storage.records import collections
from tests.support.encoders import ColorHistogramEncoder
from tests.tools.toolbox import ToolEnvironment

BOXES = [{"label": "corner", "box": [0.1, 0.1, 0.4, 0.5]}]
_ANNOTATED = 6


def say(*words: object) -> None:
    """Write a line in one call: a kill could truncate the output of ``print``."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


async def live(dsn: str, data: str, folder: str) -> None:
    """Ingest with small batches and tiles, and rebuild an index."""
    added = -1

    def tell(progress: IngestProgress) -> None:
        nonlocal added
        if progress.added > added:
            added = progress.added
            say("added", added)

    encoder = ColorHistogramEncoder()
    database = await Database.open(dsn)
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await collections.update_settings(connection, album, {"tiles": True})
    say("begin")
    await ingest(
        database,
        BlobStore(Path(data)),
        encoder,
        [folder],
        collection="album",
        options=IngestOptions(
            workers=1, batch_size=4, write_rows=4, bulk_rows=10, bulk_fraction=0.01
        ),
        progress=tell,
        passage_encoder=encoder,
    )
    await database.close()
    async with ToolEnvironment(dsn, Path(data)).serve() as tools:
        ids = await tools.ids()
        for name in sorted(ids)[:_ANNOTATED]:
            drawn, kept = {"asset": ids[name], "boxes": BOXES}, {"origin": "person"}
            await tools.call("annotate_image", **drawn)
            saved = await tools.call("save_annotation", **drawn, **kept)
            for each in saved["annotations"]:
                say("saved", each)
    say("end")


def main() -> None:
    """Fork for each line until the input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            say("pid", os.getpid())
            try:
                asyncio.run(live(**json.loads(line)))
            except BaseException:  # noqa: BLE001 - a forked process ends here, whatever happens
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
