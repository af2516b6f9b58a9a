"""A session survives an outage of the database."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from sightline.server.app import create_app
from sightline.server.config import Settings, load_settings
from sightline.server.database import schema_migration
from sightline.server.http.http_server import start_http_server
from sightline.storage.postgres import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a data folder with a short path, so that the socket fits in it."""
    with tempfile.TemporaryDirectory(prefix="sightline-outage-") as name:
        yield Path(name)


def configured(folder: Path, encoder: Path, **options: object) -> Settings:
    return load_settings(
        data_dir=folder,
        encoder__model=f"local-dir:{encoder}",
        encoder__threads=1,
        startup_timeout_seconds=200,
        **options,
    )


def said(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_collections", {}),
    ("search_images", {"query": "van"}),
    ("search_text", {"query": "van"}),
    ("view_image", {"asset": "zzzzzzzzzzzz"}),
    ("delete_assets", {"assets": ["zzzzzzzzzzzz"]}),
]


async def test_an_external_database_outage_is_reported_and_ends(
    folder: Path, random_encoder_folder: Path
) -> None:
    postgres = EmbeddedPostgres(folder, durable=False)
    dsn = postgres.dsn()
    schema_migration.upgrade(dsn)
    app = create_app(configured(folder / "own", random_encoder_folder, database__url=dsn))
    async with Client(app) as client:
        assert not (await client.call_tool("search_images", {"query": "van"})).is_error
        postgres.close()
        for tool, arguments in CALLS:
            lost = await client.call_tool(tool, arguments)
            assert lost.is_error
            assert "The database cannot be reached" in said(lost)
            assert "internal error" not in said(lost)
        with EmbeddedPostgres(folder, durable=False) as again:
            assert again.dsn() == dsn
            for tool in ("list_collections", "search_images", "search_text"):
                back = await client.call_tool(tool, {"query": "van"} if "search" in tool else {})
                assert not back.is_error, said(back)


async def test_a_killed_embedded_database_is_started_again(
    folder: Path, random_encoder_folder: Path
) -> None:
    app = create_app(configured(folder, random_encoder_folder))
    async with Client(app) as client:
        assert not (await client.call_tool("list_collections", {})).is_error
        assert app.runtime is not None
        database = await app.runtime.database.get()
        with closing(psycopg.connect(database.dsn)) as connection:
            row = connection.execute(
                "SELECT (string_to_array(pg_read_file('postmaster.pid'), E'\\n'))[1]"
            ).fetchone()
            assert row is not None
            os.kill(int(row[0]), signal.SIGKILL)
            select.select([connection], [], [])  # wait until its last process has ended
        answers = [await client.call_tool("list_collections", {}) for _ in range(3)]
    # The first call may fail; the next ones work.
    assert not answers[-1].is_error, said(answers[-1])
    for answer in answers:
        if answer.is_error:
            assert "The database cannot be reached" in said(answer)


async def test_calls_without_a_free_connection_fail_and_later_calls_work(
    tmp_path: Path, database_dsn: str, random_encoder_folder: Path
) -> None:
    settings = configured(
        tmp_path,
        random_encoder_folder,
        database__url=database_dsn,
        http__port=0,
        database__max_connections=2,
        database__acquire_timeout_seconds=1,
    )
    async with start_http_server(settings) as (url, _), Client(url) as client:
        assert not (await client.call_tool("list_collections", {})).is_error
        with psycopg.connect(database_dsn) as holding:
            holding.execute("LOCK TABLE sightline.collection IN ACCESS EXCLUSIVE MODE")
            calls = [
                asyncio.create_task(client.call_tool("list_collections", {})) for _ in range(64)
            ]
            refused = set[asyncio.Task[CallToolResult]]()
            while len(refused) < 62:
                done, _ = await asyncio.wait(
                    set(calls) - refused, return_when=asyncio.FIRST_COMPLETED
                )
                refused |= done
        for call in calls:
            answer = await call
            if call in refused:
                assert answer.is_error
                assert said(answer) == "All 2 database connections were busy for 1 s. Try again."
            else:
                assert answer.structured_content == {"collections": []}
        for _ in range(3):
            answer = await client.call_tool("list_collections", {})
            assert answer.structured_content == {"collections": []}, said(answer)
