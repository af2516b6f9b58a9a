"""A data folder with two assets whose vectors are those of words."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.server.config import load_settings
from sightline.server.database import schema_migration
from sightline.server.models.model_choice import load_encoder
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_asset, add_vector

WORDS = ("a red circle", "a bar chart")


@pytest.fixture(scope="session")
def words_folder() -> Iterator[Path]:
    """The collection "album" of the built-in encoder, and an empty one, "other"."""

    async def prepare(dsn: str, folder: Path) -> None:
        encoder = load_encoder(load_settings(data_dir=folder))
        vectors = await encoder.encode_texts(WORDS)
        database = await Database.open(dsn)
        async with database.connection() as connection:
            await collections.ensure(connection, "other")
            album = await collections.ensure(connection, "album")
            space = await embedding_spaces.get_or_create(connection, encoder.identity, "asset")
            await embedding_spaces.assign(connection, album.id, space)
            for number, vector in enumerate(vectors):
                id_ = f"{number:012}"
                await add_asset(connection, album, id_)
                await add_vector(connection, album, space, vector.tolist(), id_)
        await database.close()
        encoder.close()

    with (
        tempfile.TemporaryDirectory(prefix="sightline-tests-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as postgres,
    ):
        schema_migration.upgrade(postgres.dsn())
        asyncio.run(prepare(postgres.dsn(), Path(folder)))
        yield Path(folder)


@pytest.fixture
def words_installation(words_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installation that commands and programs open."""
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(words_folder))
    monkeypatch.delenv("SIGHTLINE_DATABASE__URL", raising=False)
    return words_folder
