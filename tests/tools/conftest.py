"""One ingested album; tests that write get a copy of its database."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestSummary
from tests.support.encoders import ColorHistogramEncoder
from tests.tools import album
from tests.tools.toolbox import ToolEnvironment

_ALBUM = "tools_album"
_copies = itertools.count()


async def _ingest(dsn: str, data: Path, folder: Path) -> IngestSummary:
    encoder = ColorHistogramEncoder()
    database = await Database.open(dsn)
    try:
        return await ingest(
            database,
            BlobStore(data),
            encoder,
            # As if it had been given so from the folder above.
            [InputPath("album", str(folder))],
            collection="album",
            options=IngestOptions(workers=1),
            passage_encoder=encoder,
        )
    finally:
        await database.close()


@pytest.fixture(scope="session")
def album_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the album, read-only."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("pictures"))) / "album"
    album.build(folder)
    return folder


@pytest.fixture(scope="session")
def album_dsn(
    postgres_dsn: str,
    _template: str,
    album_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A database with the album, read-only."""
    _copy(postgres_dsn, _template, _ALBUM)
    dsn = make_conninfo(postgres_dsn, dbname=_ALBUM)
    summary = asyncio.run(_ingest(dsn, tmp_path_factory.mktemp("data"), album_folder))
    assert (summary.added, summary.failed) == (album.PICTURES + 1, 1)
    return dsn


@pytest.fixture
def environment(album_dsn: str, tmp_path: Path) -> ToolEnvironment:
    """The album, read-only."""
    return ToolEnvironment(album_dsn, tmp_path / "data")


@pytest.fixture
def environment_copy(
    album_dsn: str, postgres_dsn: str, tmp_path: Path
) -> Iterator[ToolEnvironment]:
    """A copy of the album for tests that write."""
    name = f"{_ALBUM}_{next(_copies)}"
    _copy(postgres_dsn, _ALBUM, name)
    yield ToolEnvironment(make_conninfo(postgres_dsn, dbname=name), tmp_path / "data")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_environment(database_dsn: str, tmp_path: Path) -> ToolEnvironment:
    """An empty database."""
    return ToolEnvironment(database_dsn, tmp_path / "data")


def _copy(postgres_dsn: str, template: str, name: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
