"""Tests of query_sql: off by default, described and typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from llama_index.core.utils import get_tokenizer
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.types import TextContent, TextResourceContents

from sightline.server.app import create_app
from sightline.server.config import load_settings
from sightline.storage.errors import ConfigurationError
from sightline.tools.registry import register_all


async def test_it_is_off_by_default() -> None:
    mcp: MCPServer = MCPServer("default")
    register_all(mcp)
    assert "query_sql" not in {tool.name for tool in await mcp.list_tools()}


def test_it_wants_a_login_where_the_database_is_given(tmp_path: Path) -> None:
    settings = load_settings(
        data_dir=tmp_path, database__url="postgresql://x@127.0.0.1:1/x", analytics__enabled=True
    )
    with pytest.raises(ConfigurationError, match="grant-analyst NAME, and set SIGHTLINE_ANALYTICS"):
        create_app(settings)


async def test_an_agent_asks_the_database_that_sightline_brings(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, analytics__enabled=True)
    async with Client(create_app(settings)) as client:
        assert "query_sql" in {tool.name for tool in (await client.list_tools()).tools}
        answer, refused, wrong, unknown = await asyncio.gather(
            client.call_tool("query_sql", {"sql": "SELECT count(*) AS n FROM assets"}),
            client.call_tool("query_sql", {"sql": "SELECT pg_sleep(60)"}),
            client.call_tool("query_sql", {"sql": "SELECT * FROM pictures"}),
            client.call_tool("query_sql", {"sql": "SELECT 1", "rows": 5}),
        )
        (described,) = (await client.read_resource("sightline://analytics/schema")).contents
    assert not answer.is_error
    structured = answer.structured_content
    assert structured is not None
    assert structured["columns"] == [{"name": "n", "type": "int8"}]
    assert structured["rows"] == [[0]]
    first = answer.content[0]
    assert isinstance(first, TextContent)
    assert json.loads(first.text) == structured
    for result, words in ((refused, "pg_sleep"), (wrong, "Views:"), (unknown, "'rows'")):
        assert result.is_error
        assert isinstance(result.content[0], TextContent)
        assert words in result.content[0].text
    assert isinstance(described, TextResourceContents)
    assert "nearest(asset text" in described.text
    assert len(get_tokenizer()(described.text)) < 1_900
