"""The way in: `ingest` finds, reads, encodes and writes, all at once and none too far ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.ingest.decode.decode_stage import Ocr
from sightline.storage.ingest.discover.input_paths import Given, resolve
from sightline.storage.ingest.ingest_options import IngestOptions, OcrMode
from sightline.storage.ingest.ingest_run import Run
from sightline.storage.ingest.progress import Progress, Summary, Tally
from sightline.storage.ingest.store.copy_rows import Spaces
from sightline.storage.ingest.store.tile_settings import space_of_tiles
from sightline.storage.interfaces import ImageEncoder, TextEncoder, OcrEngine
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.collections import Collection


async def ingest(
    database: Database,
    objects: BlobStore,
    encoder: ImageEncoder,
    paths: Sequence[str | Path | Given],
    *,
    collection: str,
    options: IngestOptions | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    passage_encoder: TextEncoder | None = None,
    reader: OcrEngine | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Summary:
    """Bring folders, files, patterns, archives and uploads into a collection.

    The collection is made where there is none. ``passage_encoder`` gives captions and text files
    vectors; without one they are found by their words alone. ``reader`` reads the text in
    pictures, as the collection's setting ``ocr``, or else the options, say. ``settings`` are set
    on the collection first: ``tiles`` true has its pictures searched by their parts as well, those
    that are there already included. ``progress`` is called often, from the event loop, and only
    ever counts what is committed: cancel this, or kill the process, and whole batches are there or
    not; the next run goes on from there.

    Raises InvalidArgumentError for paths that lead nowhere, ConfigurationError where text is to
    be read and there is no ``reader``, SpaceMismatchError where the
    collection's vectors are of another encoder, ModelError where the encoder fails on everything,
    StorageError. Files that fail are no error: they are recorded, counted, and tried again by the
    next run.
    """
    options = options or IngestOptions()
    roots = await asyncio.to_thread(resolve, paths)
    async with database.connection() as connection:
        asset_space = await embedding_spaces.get_or_create(connection, encoder.identity, "asset")
        passage_space = None
        if passage_encoder is not None:
            identity = passage_encoder.identity
            passage_space = await embedding_spaces.get_or_create(connection, identity, "passage")
    async with database.connection() as connection:
        target = await collections.ensure(connection, collection)
        await embedding_spaces.assign(connection, target.id, asset_space)
        if passage_space is not None:
            await embedding_spaces.assign(connection, target.id, passage_space)
        if settings:
            target = await collections.update_settings(connection, target, settings)
    tile_space = await space_of_tiles(database, target, encoder.identity)
    tally = Tally(target.name, progress)
    run = Run(
        database,
        encoder,
        passage_encoder,
        reader,
        _ocr(target, options, reader),
        Spaces(asset_space, passage_space, tile_space),
        (objects, target),
        options,
        tally,
    )
    return await run.all(roots)


def _ocr(collection: Collection, options: IngestOptions, reader: OcrEngine | None) -> Ocr:
    mode = collection.settings.get("ocr", options.ocr)
    if mode not in get_args(OcrMode):
        raise ConfigurationError(
            f"the setting 'ocr' of collection {collection.name!r} is {shown(str(mode))}; use "
            "'auto', 'on' or 'off'"
        )
    if mode == "off":
        return Ocr("off", "")
    if reader is None:
        raise ConfigurationError(f"ocr is {mode!r} and there is nothing that reads; set it 'off'")
    return Ocr(mode, reader.name)
