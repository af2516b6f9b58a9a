"""The page, its files, and the app as a resource, over real HTTP and MCP."""

from __future__ import annotations

import httpx2
import pytest
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import TextResourceContents

from sightline.server.http.http_server import start_http_server
from sightline.server.web.web_pages import FILES, gzipped_file, read_file
from sightline.tools.registry import CHAT_APP_URI
from tests.server.http.test_http_server import connect
from tests.server.web.conftest import WebServer

_WITH_APP = {"search_images", "view_image", "annotate_image", "answer_question"}


@pytest.mark.parametrize("path", ["", "ui/app.js", "ui/app.css"])
async def test_a_file_may_load_only_from_its_server(guarded: WebServer, path: str) -> None:
    async with httpx2.AsyncClient() as http:
        response = await http.get(guarded.url + path)  # needs no token
    assert response.status_code == 200
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= {*policy}
    assert not any("unsafe" in each for each in policy)
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_an_unchanged_file_is_not_sent_again(web: WebServer) -> None:
    async with httpx2.AsyncClient() as http:
        first = await http.get(f"{web.url}ui/app.js")
        again = await http.get(
            f"{web.url}ui/app.js", headers={"If-None-Match": first.headers["etag"]}
        )
    assert len(first.content) > 10_000
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_compressed_for_clients_that_accept_it(web: WebServer, name: str) -> None:
    async with httpx2.AsyncClient() as http:
        compressed = await http.get(f"{web.url}ui/{name}", headers={"Accept-Encoding": "gzip"})
        plain = await http.get(f"{web.url}ui/{name}", headers={"Accept-Encoding": "identity"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert compressed.content == plain.content == read_file(name)
    assert int(compressed.headers["content-length"]) < len(plain.content) / 2
    assert compressed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_the_bundle_is_small() -> None:
    assert sum(len(gzipped_file(name)) for name in FILES) < 300_000


async def test_the_page_can_be_turned_off(web: WebServer) -> None:
    settings = web.settings.replace(http__web_app=False)
    async with start_http_server(settings) as (url, _), httpx2.AsyncClient() as http:
        response = await http.get(url.removesuffix("mcp"))
    assert response.status_code == 404


async def test_the_app_is_a_resource_without_addresses(web: WebServer) -> None:
    async with connect(f"{web.url}mcp", "auto", None) as client:
        (page,) = (await client.read_resource(CHAT_APP_URI)).contents
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert isinstance(page, TextResourceContents)
    assert page.mime_type == APP_MIME_TYPE
    assert 'src="' not in page.text.split("<script", maxsplit=1)[0]
    assert page.text.count("</script>") == 1
    with_app = {name for name, tool in tools.items() if tool.meta is not None}
    assert with_app == _WITH_APP
    assert {str(tools[name].meta) for name in with_app} == {
        str({"ui": {"resourceUri": CHAT_APP_URI}})
    }


async def test_the_server_says_that_it_has_apps(web: WebServer) -> None:
    async with connect(f"{web.url}mcp", "auto", None) as client:
        capabilities = client.server_capabilities
    assert capabilities is not None
    assert EXTENSION_ID in (capabilities.extensions or {})
