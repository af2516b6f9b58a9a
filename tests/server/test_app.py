"""Tests of the composed MCP server."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.app import create_app
from sightline.storage.errors import SchemaError
from tests.support.settings import make_settings

MODES = ["2026-07-28", "legacy"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def text_of(result: CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


def test_importing_the_server_imports_no_model_and_no_retrieval_framework() -> None:
    program = (
        "import sys, sightline.server.app, sightline.server.stdio;"
        "import sightline.server.http.http_server;"
        "heavy = {'torch', 'torchvision', 'open_clip', 'transformers', 'llama_index', 'alembic',"
        "'sqlalchemy', 'jieba', 'av', 'cv2', 'pypdfium2', 'onnxruntime'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


async def test_tools_are_listed_with_no_database_and_no_encoder(mode: str, tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path))
    async with Client(app, mode=mode) as client:
        tools = (await client.list_tools()).tools
    assert {"search_images", "search_text", "view_image", "list_collections"} <= {
        tool.name for tool in tools
    }
    reading = {tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint}
    assert {tool.name for tool in tools} - reading == {
        "add_images",
        "delete_assets",
        "save_annotation",
    }


@pytest.mark.parametrize("handshake", ["auto", "legacy"])
async def test_a_client_gets_instructions(handshake: str, tmp_path: Path) -> None:
    async with Client(create_app(make_settings(tmp_path)), mode=handshake) as client:
        assert client.instructions is not None
        assert "view_image" in client.instructions


async def test_creating_the_app_does_not_change_the_root_logger(tmp_path: Path) -> None:
    import logging

    before = list(logging.getLogger().handlers)
    create_app(make_settings(tmp_path))
    assert logging.getLogger().handlers == before


async def test_a_call_reads_the_database(mode: str, tmp_path: Path, database_dsn: str) -> None:
    app = create_app(make_settings(tmp_path, database__url=database_dsn))
    async with Client(app, mode=mode) as client:
        result = await client.call_tool("list_collections", {})
    assert not result.is_error
    assert result.structured_content == {"collections": []}


async def test_a_search_without_encoder_reports_what_is_missing(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    app = create_app(make_settings(tmp_path, database__url=database_dsn))
    async with Client(app, mode=mode) as client:
        result = await client.call_tool("search_images", {"query": "a van"})
    assert result.is_error
    folder = str(tmp_path / "nowhere")
    assert f"The encoder folder {folder!r} does not exist." in text_of(result)


async def test_a_search_uses_encoder_retrieval_and_database(
    mode: str, tmp_path: Path, database_dsn: str, random_encoder_folder: Path
) -> None:
    app = create_app(
        make_settings(
            tmp_path,
            database__url=database_dsn,
            encoder__model=f"local-dir:{random_encoder_folder}",
            startup_timeout_seconds=200,
        )
    )
    async with Client(app, mode=mode) as client:
        for tool in ("search_images", "search_text"):
            result = await client.call_tool(tool, {"query": "a van"})
            assert not result.is_error, text_of(result)
            assert result.structured_content is not None
            assert result.structured_content["hits"] == []


async def test_an_unreachable_database_is_reported_and_used_when_it_is_back(
    mode: str, tmp_path: Path, postgres_dsn: str, database_dsn: str
) -> None:
    template = sql.Identifier(str(conninfo_to_dict(database_dsn)["dbname"]))
    name = sql.Identifier(f"late_{tmp_path.name}"[:60])
    late = make_conninfo(postgres_dsn, dbname=name.as_string().strip('"'))
    app = create_app(make_settings(tmp_path, database__url=late))
    async with Client(app, mode=mode) as client:
        assert app.runtime is not None
        result = await client.call_tool("list_collections", {})
        assert result.is_error
        assert "The database cannot be reached" in text_of(result)
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, template))
        try:
            await app.runtime.database.settled.wait()
            result = await client.call_tool("list_collections", {})
            assert result.structured_content == {"collections": []}
        finally:
            with psycopg.connect(postgres_dsn, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(name))


async def test_another_schema_version_is_final_and_names_the_command_to_run(
    mode: str, tmp_path: Path, empty_dsn: str
) -> None:
    failures: list[Exception] = []
    app = create_app(make_settings(tmp_path, database__url=empty_dsn), on_failure=failures.append)
    async with Client(app, mode=mode) as client:
        result = await client.call_tool("list_collections", {})
    assert result.is_error
    assert "run: sightline migrate" in text_of(result)
    assert [type(error) for error in failures] == [SchemaError]


async def test_a_password_in_a_database_error_is_hidden(mode: str, tmp_path: Path) -> None:
    app = create_app(
        make_settings(tmp_path, database__url="postgresql://ann:hunter2@127.0.0.1:1/x")
    )
    async with Client(app, mode=mode) as client:
        result = await client.call_tool("list_collections", {})
    assert result.is_error
    assert "hunter2" not in text_of(result)


async def test_an_embedded_database_is_created_and_restarted_after_a_crash(
    tmp_path: Path,
) -> None:
    app = create_app(make_settings(tmp_path, database__url=None, startup_timeout_seconds=200))
    async with Client(app) as client:
        result = await client.call_tool("list_collections", {})
        assert result.structured_content == {"collections": []}, text_of(result)
        pid = int((tmp_path / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        server = os.pidfd_open(pid)
        os.kill(pid, signal.SIGQUIT)  # also ends its backends
        # Readable when the server has exited. Before, backends may still answer.
        exited, _, _ = await asyncio.to_thread(select.select, [server], [], [], 60)
        os.close(server)
        assert exited
        result = await client.call_tool("list_collections", {})
        if result.is_error:  # the first call may report the restart
            assert "the database" in text_of(result)
            result = await client.call_tool("list_collections", {})
        assert result.structured_content == {"collections": []}, text_of(result)
    assert not (tmp_path / "postgres" / "data" / "postmaster.pid").exists()
