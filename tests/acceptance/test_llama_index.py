"""A framework that reads only first text blocks can use the tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
from llama_index.core.tools import FunctionTool
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

from sightline.server.config import Settings
from sightline.server.http import http_server
from tests.acceptance.gallery import CAPTIONS, TOOLS


async def call_tool(tools: dict[str, FunctionTool], name: str, **arguments: Any) -> Any:
    """Return the JSON of the first text block."""
    output = await tools[name].acall(**arguments)
    blocks = output.raw_output.content
    return json.loads(blocks[0].text)


async def test_llama_index_calls_every_tool(settings: Settings, pictures: Path) -> None:
    async with (
        http_server.start_http_server(settings) as (url, _),
        httpx2.AsyncClient(timeout=200) as over,
    ):
        spec = McpToolSpec(client=BasicMCPClient(url, timeout=200, http_client=over))
        tools = {str(tool.metadata.name): tool for tool in await spec.to_tool_list_async()}
        assert tools.keys() >= TOOLS
        assert all(tool.metadata.description for tool in tools.values())

        added = await call_tool(tools, "add_images", collection="gallery", paths=[str(pictures)])
        assert added["added"] == len(CAPTIONS) + 1
        listed = await call_tool(tools, "list_collections")
        assert listed["collections"][0]["name"] == "gallery"
        found = await call_tool(tools, "search_images", query="bicycles", filters={"number": 1})
        assert found["hits"][0]["caption"] == CAPTIONS[1]
        passages = await call_tool(tools, "search_text", query="HS-4420")
        assert "42.5 mm" in passages["hits"][0]["text"]
        asset = found["hits"][0]["asset"]
        viewed = await call_tool(tools, "view_image", asset=asset, max_edge=64)
        assert viewed["asset"]["source"] == f"{pictures}/0001.jpg"
        # LlamaIndex converts images to text, which costs many tokens.
        shown = (await tools["view_image"].acall(asset=asset, inline=False)).content
        assert f"{url.removesuffix('/mcp')}/assets/{asset}" in shown
        assert len(shown) < 2_000
        deleted = await call_tool(tools, "delete_assets", assets=[asset])
        assert (deleted["deleted"], deleted["assets"]) == (True, 1)
