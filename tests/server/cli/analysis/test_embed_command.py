"""Tests of ``sightline embed``: words become vectors that SQL compares."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sightline.server.cli import main
from sightline.server.config import load_settings
from sightline.server.database import schema_migration
from sightline.server.models.model_choice import load_encoder
from sightline.storage.db.pool import Database
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_asset, add_vector

WORDS = ("a red circle", "a bar chart")


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """Two assets whose vectors are those of the words, and a collection of another encoder."""

    async def prepare(dsn: str, folder: Path) -> None:
        encoder = load_encoder(load_settings(data_dir=folder))
        vectors = await encoder.encode_texts(WORDS)
        database = await Database.open(dsn)
        async with database.connection() as connection:
            for name, identity in (
                ("album", encoder.identity),
                ("other", EncoderIdentity("another", "0" * 16, "0" * 16, 4)),
            ):
                made = await collections.ensure(connection, name)
                space = await embedding_spaces.get_or_create(connection, identity, "asset")
                await embedding_spaces.assign(connection, made.id, space)
                if name == "album":
                    for number, vector in enumerate(vectors):
                        id_ = f"{number:012}"
                        await add_asset(connection, made, id_)
                        await add_vector(connection, made, space, vector.tolist(), id_)
        await database.close()
        encoder.close()

    with (
        tempfile.TemporaryDirectory(prefix="sightline-tests-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as postgres,
    ):
        schema_migration.upgrade(postgres.dsn())
        asyncio.run(prepare(postgres.dsn(), Path(folder)))
        yield Path(folder)


@pytest.fixture(autouse=True)
def environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(data_dir))
    monkeypatch.delenv("SIGHTLINE_DATABASE__URL", raising=False)


def test_words_are_compared_with_pictures_in_sql(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["embed", *WORDS]) == 0
    output = capfd.readouterr()
    literals = output.out.splitlines()
    assert output.err.startswith("Embedding space 1: builtin-clip")
    query = "SELECT asset_id, round(distance::numeric, 3) FROM search(:'q', 1, 1)"
    for number, literal in enumerate(literals):
        assert main(["sql", "-At", "-v", f"q={literal}", "-c", query]) == 0
        assert capfd.readouterr().out == f"{number:012}|0.000\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(WORDS)))
    assert main(["embed", "--json", "--collection", "album"]) == 0
    for record, words, literal in zip(
        json.loads(capfd.readouterr().out), WORDS, literals, strict=True
    ):
        assert (record["words"], record["embedding_space"]) == (words, 1)
        assert np.array_equal(np.float16(record["vector"]), np.float16(json.loads(literal)))


def test_vectors_that_cannot_be_compared_are_refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    for arguments, words in (
        (["x", "--collection", "other"], "another"),
        (["x", "--collection", "nothing"], "Unknown collection 'nothing'. Available: 'album'"),
        (["x", "--level", "passage"], "Embedding spaces: 1 (asset of builtin-clip), 2 (asset"),
        ([], "There are no words to encode"),
    ):
        assert main(["embed", *arguments]) == 2
        assert words in capfd.readouterr().err
