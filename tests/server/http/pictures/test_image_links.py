"""Tests of the address of pictures in results, and of the preference of a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer

from sightline.server.app import create_app
from sightline.server.http.http_server import start_http_server
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.image_delivery import (
    image_url,
    image_url_template,
    inline_by_default,
)
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import make_settings

MODES = ["2026-07-28", "legacy"]


def register(mcp: MCPServer) -> None:
    """Add a tool that returns what a result would contain."""

    @mcp.tool()
    async def delivery(ctx: Call) -> dict[str, Any]:
        return {
            "url": image_url("k3v9m2q8x1ab"),
            "template": image_url_template(),
            "inline": inline_by_default(dependencies(ctx)),
        }

    @mcp.tool()
    async def drawn() -> dict[str, Any]:
        return {
            "crop": image_url("k3v9m2q8x1ab", crop=(0, 0.25, 1 / 3, 1)),
            "annotated": image_url("k3v9m2q8x1ab", annotated=True),
            "boxes": image_url("k3v9m2q8x1ab", boxes="WyJib3gi"),
            "quoted": image_url("a/b?c"),
            "long": image_url("k3v9m2q8x1ab", boxes="x" * 8_000),
        }


@asynccontextmanager
async def serve(
    tmp_path: Path, mode: str = "auto", query: str = "", host: str | None = None, **overrides: Any
) -> AsyncIterator[tuple[str, Client]]:
    """Run a server; yield its base URL and a client that uses the query and Host."""
    settings = make_settings(tmp_path, **overrides)
    headers = {} if host is None else {"Host": host}
    async with (
        start_http_server(settings, register=(register,)) as (url, _),
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url + query, http_client=http), mode=mode) as client,
    ):
        yield url.removesuffix("/mcp"), client


async def ask(client: Client, tool: str = "delivery") -> dict[str, Any]:
    result = await client.call_tool(tool, {})
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return dict(result.structured_content)


@pytest.mark.parametrize("mode", MODES)
async def test_results_link_to_the_host_that_the_client_uses(mode: str, tmp_path: Path) -> None:
    async with serve(tmp_path, mode) as (base_url, client):
        assert await ask(client) == {
            "url": f"{base_url}/assets/k3v9m2q8x1ab",
            "template": f"{base_url}/assets/{{asset}}",
            "inline": True,
        }
    async with serve(tmp_path, mode, host="localhost") as (_, client):
        assert (await ask(client))["url"] == "http://localhost/assets/k3v9m2q8x1ab"


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        ("https://eyes.example", "https://eyes.example"),
        ("https://eyes.example/", "https://eyes.example"),
        ("https://eyes.example/mcp", "https://eyes.example"),
        ("https://eyes.example/sight/mcp", "https://eyes.example/sight"),
    ],
)
async def test_the_public_url_has_priority(public_url: str, base: str, tmp_path: Path) -> None:
    async with serve(tmp_path, http__public_url=public_url) as (_, client):
        assert (await ask(client))["url"] == f"{base}/assets/k3v9m2q8x1ab"


async def test_no_header_of_a_proxy_changes_the_links(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    evil = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example;proto=https"}
    async with (
        start_http_server(settings, register=(register,)) as (url, _),
        httpx2.AsyncClient(headers={**evil, "X-Forwarded-Proto": "https"}) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        found = await ask(client)
        assert found["url"] == f"{url.removesuffix('/mcp')}/assets/k3v9m2q8x1ab"


@pytest.mark.parametrize("mode", MODES)
async def test_a_connection_may_ask_for_links_only(mode: str, tmp_path: Path) -> None:
    async with serve(tmp_path, mode, "?images=link") as (base_url, client):
        assert (await ask(client))["inline"] is False
        async with Client(f"{base_url}/mcp", mode=mode) as other:
            assert (await ask(other))["inline"] is True


async def test_the_setting_is_the_default_of_all_connections(tmp_path: Path) -> None:
    async with serve(tmp_path, images="link") as (base_url, client):
        assert (await ask(client))["inline"] is False
        async with Client(f"{base_url}/mcp?images=inline") as other:
            assert (await ask(other))["inline"] is True


@pytest.mark.parametrize("images", ["inline", "link"])
async def test_without_http_there_are_no_links(images: str, tmp_path: Path) -> None:
    app = create_app(make_settings(tmp_path, images=images), register=(register,))
    async with Client(app) as client:
        assert await ask(client) == {"url": None, "template": None, "inline": images == "inline"}


@pytest.mark.parametrize("query", ["images=none", "images=", "images=link&images=inline"])
async def test_another_preference_gets_400(query: str, tmp_path: Path) -> None:
    async with (
        start_http_server(make_settings(tmp_path)) as (url, _),
        httpx2.AsyncClient(headers=ACCEPT) as http,
    ):
        response = await http.post(f"{url}?{query}", json=INITIALIZE)
        assert response.status_code == 400
        assert "images is not one of 'inline', 'link'" in response.text


async def test_links_contain_what_the_picture_shows(tmp_path: Path) -> None:
    async with serve(tmp_path) as (base_url, client):
        address = f"{base_url}/assets/k3v9m2q8x1ab"
        assert await ask(client, "drawn") == {
            "crop": f"{address}?crop=0,0.25,0.333333,1",
            "annotated": f"{address}?annotated=true",
            "boxes": f"{address}?boxes=WyJib3gi",
            "quoted": f"{base_url}/assets/a%2Fb%3Fc",
            "long": None,
        }
