"""Open the collection of an ingest, and its settings: tiles and OCR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import load_sql
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.ingest.ingest_options import IngestOptions, OcrMode
from sightline.storage.interfaces import EncoderIdentity, OcrEngine
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import Level
from sightline.storage.unicode_forms import normalize_name

TILES_SETTING = "tiles"
"""The collection setting that turns on search by tiles."""
OCR_LANGUAGES_SETTING = "ocr_languages"
"""The collection setting with the languages that OCR reads besides its own."""

_SQL = load_sql("ingest")
_DELETE_TILES = ("no_statement_timeout", "delete_tiles", "clear_tile_scheme", "unassign_tile_space")


async def open_collection(
    database: Database,
    name: str,
    assets: EncoderIdentity,
    passages: EncoderIdentity | None,
    settings: Mapping[str, Any],
) -> tuple[Collection, EmbeddingSpace, EmbeddingSpace | None]:
    """Return the collection, created if missing, and its embedding spaces.

    Raises SpaceMismatchError if its vectors are from another encoder; then it creates nothing.
    """
    wanted: dict[Level, EncoderIdentity] = {"asset": assets}
    if passages is not None:
        wanted["passage"] = passages
    await _require_encoders(database, name, wanted)
    while True:
        async with database.write_connection() as connection:
            spaces = {
                level: await embedding_spaces.get_or_create(connection, identity, level)
                for level, identity in wanted.items()
            }
        async with database.write_connection() as connection:
            if not await embedding_spaces.hold(connection, spaces.values()):
                continue  # a repair dropped one in between
            collection = await collections.ensure(connection, name)
            for space in spaces.values():
                await embedding_spaces.assign(connection, collection.id, space)
            if settings:
                collection = await collections.update_settings(connection, collection, settings)
        return collection, spaces["asset"], spaces.get("passage")


async def _require_encoders(
    database: Database, name: str, wanted: Mapping[Level, EncoderIdentity]
) -> None:
    """Raise SpaceMismatchError if a collection has vectors of another encoder."""
    async with database.connection() as connection:
        if normalize_name(name) not in await collections.names(connection):
            return
        collection = await collections.get(connection, name)
        used = await embedding_spaces.of_collection(connection, collection.id)
    for level, identity in wanted.items():
        if level in used:
            used[level].require(identity)


async def tile_space(
    database: Database, collection: Collection, identity: EncoderIdentity
) -> EmbeddingSpace | None:
    """Return the embedding space of tiles, or None if tiles are off.

    Deletes existing tiles if the setting was turned off, so that no search finds tiles of only some
    images. Raises ConfigurationError for an invalid setting, and SpaceMismatchError.
    """
    wanted = collection.settings.get(TILES_SETTING, False)
    if not isinstance(wanted, bool):
        raise ConfigurationError(
            f"the setting {TILES_SETTING!r} of collection {collection.name!r} is {shown(wanted)}; "
            "use true or false"
        )
    async with database.write_connection() as connection:
        if not wanted:
            if await embedding_spaces.find_for_collection(connection, collection.id, "region"):
                for block in _DELETE_TILES:
                    await connection.execute(_SQL[block], {"collection_id": collection.id})
            return None
    await _require_encoders(database, collection.name, {"region": identity})
    while True:
        async with database.write_connection() as connection:
            space = await embedding_spaces.get_or_create(connection, identity, "region")
        async with database.write_connection() as connection:
            if await embedding_spaces.hold(connection, [space]):
                await embedding_spaces.assign(connection, collection.id, space)
                return space


def ocr_policy(
    collection: Collection, options: IngestOptions, ocr_engine: OcrEngine | None
) -> tuple[OcrMode, OcrEngine | None]:
    """Return the OCR mode, and the engine for the languages of the collection.

    The engine is None if the mode is ``off``. Raises ConfigurationError for an invalid setting and
    for a language without a model.
    """
    mode = collection.settings.get("ocr", options.ocr)
    if mode not in get_args(OcrMode):
        raise ConfigurationError(
            f"the setting 'ocr' of collection {collection.name!r} is {shown(str(mode))}; use "
            "'auto', 'on' or 'off'"
        )
    if mode == "off":
        return "off", None
    if ocr_engine is None:
        raise ConfigurationError(f"ocr is {mode!r} but there is no OCR engine; set it to 'off'")
    languages = collection.settings.get(OCR_LANGUAGES_SETTING, [])
    if not isinstance(languages, list) or not all(isinstance(each, str) for each in languages):
        raise ConfigurationError(
            f"the setting {OCR_LANGUAGES_SETTING!r} of collection {collection.name!r} is "
            f"{shown(str(languages))}; use a list of languages"
        )
    return mode, ocr_engine.for_languages(languages) if languages else ocr_engine
