"""Tests of pictures over HTTP, with a real server, database and picture."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.types import BlobResourceContents, ImageContent, TextContent

from sightline.storage.db.pool import Database
from tests.server.http.pictures.picture_server import (
    ASSET,
    SIZE,
    PictureServer,
    open_picture_server,
    size_of,
)
from tests.server.http.test_http_server import connect
from tests.support.database_rows import JPEG


@pytest.fixture
async def server(
    tmp_path: Path, database: Database, database_dsn: str
) -> AsyncIterator[PictureServer]:
    async with open_picture_server(tmp_path, database, database_dsn) as opened:
        yield opened


async def test_a_picture_is_the_same_as_its_resource(server: PictureServer) -> None:
    response = await server.get()
    async with connect(f"{server.base_url}/mcp", "auto", server.tokens["ann"]) as client:
        (resource,) = (await client.read_resource(f"sightline://asset/{ASSET}")).contents
    assert isinstance(resource, BlobResourceContents)
    assert response.content == base64.b64decode(resource.blob)
    assert size_of(response) == SIZE


@pytest.mark.parametrize("arguments", [{}, {"crop": [0.5, 0.5, 0.75, 1.0]}, {"annotated": True}])
async def test_the_link_of_a_view_leads_to_the_picture_that_it_replaces(
    server: PictureServer, arguments: dict[str, Any]
) -> None:
    await server.annotate("lamp")
    arguments = {"asset": ASSET, "max_edge": 1568, **arguments}
    mcp = f"{server.base_url}/mcp"
    async with connect(mcp, "auto", server.tokens["ann"]) as client:
        text, image = (await client.call_tool("view_image", arguments)).content
    async with connect(f"{mcp}?images=link", "auto", server.tokens["ann"]) as client:
        (only,) = (await client.call_tool("view_image", arguments)).content
        inline = await client.call_tool("view_image", {**arguments, "inline": True})
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert isinstance(only, TextContent)
    url = json.loads(only.text)["image_url"]
    assert json.loads(text.text)["image_url"] == url
    assert (await server.http.get(url)).content == base64.b64decode(image.data)
    assert [block.type for block in inline.content] == ["text", "image"]


async def test_the_headers_let_no_browser_read_it_as_something_else(server: PictureServer) -> None:
    for path in ("", "/thumbnail", "?max_edge=1"):
        response = await server.get(path)
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "default-src 'none'"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["vary"] == "Authorization"
    response = await server.get()
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "private, no-cache"
    assert "location" not in response.headers
    assert (await server.get("?x=1")).headers["cache-control"] == "no-store"


async def test_the_thumbnail_is_the_stored_one(server: PictureServer) -> None:
    assert (await server.get("/thumbnail")).content == JPEG


async def test_a_picture_is_reduced_cropped_and_annotated(server: PictureServer) -> None:
    plain = await server.get()
    assert size_of(await server.get("?max_edge=64")) == (64, 48)
    cropped = await server.get("?crop=0,0,0.5,1")
    width, height = size_of(cropped)
    assert (width / height) == pytest.approx(320 / 480, abs=0.01)
    assert (await server.get("?annotated=true")).content == plain.content
    await server.annotate("lamp")
    annotated = await server.get("?annotated=true")
    assert size_of(annotated) == SIZE
    assert annotated.content != plain.content
    boxes = json.dumps(["box", [[0.1, 0.1, 0.9, 0.9, "lamp"]]])
    code = base64.urlsafe_b64encode(boxes.encode()).decode().rstrip("=")
    assert (await server.get(f"?boxes={code}")).content == annotated.content
    assert (await server.get("?annotated=false")).content == plain.content


INVALID_QUERIES = [
    ("max_edge=63", "max_edge '63' is out of range. Use 64 to 1568."),
    ("max_edge=1569", "max_edge '1569' is out of range. Use 64 to 1568."),
    ("max_edge=-64", "max_edge '-64' is out of range. Use 64 to 1568."),
    ("max_edge=1e3", "max_edge '1e3' is out of range. Use 64 to 1568."),
    ("max_edge=", "max_edge '' is out of range. Use 64 to 1568."),
    ("crop=0,0,1", "Give four: [x0, y0, x1, y1]."),
    ("crop=a,b,c,d", "'a,b,c,d' is not a box. Give x0,y0,x1,y1 from 0 to 1"),
    ("crop=0,0,inf,1", "is not inside the image"),
    ("crop=" + "0," * 4_000, "is not a box"),
    ("crop=0,0,nan,1", "is not inside the image"),
    ("crop=0.5,0,0.1,1", "is not inside the image"),
    ("annotated=yes", "annotated is 'yes'. Use 'true' or 'false'."),
    ("boxes=xxxx", "The URI contains no valid boxes"),
    ("size=9", "Unknown parameter 'size'. Available: 'annotated', 'boxes', 'crop', "),
    ("max_edge=64&max_edge=65", "The parameter max_edge occurs more than once. Give one."),
    ("max_edge=" + "9" * 9_000, "is out of range"),
]


async def test_an_invalid_query_gets_400_with_the_valid_values(server: PictureServer) -> None:
    for query, message in INVALID_QUERIES:
        response = await server.get(f"?{query}")
        assert response.status_code == 400, query
        assert message in response.json()["error"]
        assert len(response.content) < 1_000


async def test_a_thumbnail_has_no_parameters(server: PictureServer) -> None:
    response = await server.get("/thumbnail?max_edge=64")
    assert response.status_code == 400
    assert response.json() == {"error": "Unknown parameter 'max_edge'. A thumbnail has none."}


async def test_an_unknown_asset_gets_404_with_the_next_step(server: PictureServer) -> None:
    for asset in ("000000000000", "x" * 9_000, "%F0%9F%92%A9", "sightline:"):
        for path in ("", "/thumbnail"):
            response = await server.http.get(f"{server.base_url}/assets/{asset}{path}")
            assert response.status_code == 404, asset
            assert "Take ids of 12 letters and digits" in response.json()["error"]
            assert len(response.content) < 1_000


async def test_head_gives_the_headers_of_get_without_the_picture(server: PictureServer) -> None:
    for path in ("", "/thumbnail", "?max_edge=64"):
        url = f"{server.base_url}/assets/{ASSET}{path}"
        head, get = await server.http.head(url), await server.http.get(url)
        assert head.content == b""
        kept = ("content-type", "content-length", "etag", "cache-control")
        assert [head.headers[name] for name in kept] == [get.headers[name] for name in kept]
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await server.http.request(method, f"{server.base_url}/assets/{ASSET}")
        assert response.status_code == 405


async def test_a_picture_that_the_client_has_is_not_sent_again(server: PictureServer) -> None:
    etags = {path: (await server.get(path)).headers["etag"] for path in ("", "?max_edge=64")}
    etags["/thumbnail"] = (await server.get("/thumbnail")).headers["etag"]
    assert len(set(etags.values())) == 3
    for path, etag in etags.items():
        for condition in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
            response = await server.get(path, headers={"If-None-Match": condition})
            assert (response.status_code, response.content) == (304, b""), condition
            assert response.headers["etag"] == etag
        response = await server.get(path, headers={"If-None-Match": '"x"'})
        assert response.status_code == 200


async def test_a_new_annotation_changes_the_etag_of_the_annotated_picture(
    server: PictureServer,
) -> None:
    before = (await server.get("?annotated=true")).headers["etag"]
    await server.annotate("lamp")
    response = await server.get("?annotated=true", headers={"If-None-Match": before})
    assert response.status_code == 200
    assert response.headers["etag"] != before


async def test_a_known_etag_does_not_hide_that_the_asset_is_gone(server: PictureServer) -> None:
    etag = (await server.get()).headers["etag"]
    async with server.database.write_connection() as connection:
        await connection.execute("DELETE FROM asset WHERE id = %s", [ASSET])
    for condition in (etag, "*"):
        response = await server.get(headers={"If-None-Match": condition})
        assert response.status_code == 404


async def test_a_request_without_a_known_token_gets_401(server: PictureServer) -> None:
    paths = ("", "/thumbnail", "?max_edge=1", f"?access_token={server.tokens['ann']}")
    urls = [f"{server.base_url}/assets/{id_}{path}" for id_ in (ASSET, "0" * 12) for path in paths]
    async with httpx2.AsyncClient() as http:
        for header in (None, "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc="):
            for url in urls:
                headers = {} if header is None else {"Authorization": header}
                response = await http.get(url, headers=headers)
                assert response.status_code == 401
                assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
                assert "Authorization" in response.json()["error"]


async def test_a_token_needs_the_scope_read(server: PictureServer) -> None:
    headers = {"Authorization": f"Bearer {server.tokens['walt']}"}
    for path in ("", "/thumbnail"):
        response = await server.get(path, headers=headers)
        assert response.status_code == 403
        expected = 'Bearer error="insufficient_scope", scope="read"'
        assert response.headers["www-authenticate"] == expected
        assert "needs a token with scope 'read'; 'walt' has 'write'" in response.json()["error"]


async def test_requests_count_as_calls_in_rate_limit_metrics_and_audit(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    audit = tmp_path / "audit.jsonl"
    limits = {"rate_limit__max_calls_per_minute": 5, "log__audit_file": audit}
    async with open_picture_server(tmp_path, database, database_dsn, **limits) as server:
        assert (await server.get("?max_edge=64")).status_code == 200
        limited = await server.get()
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) >= 1
        assert "try again in" in limited.json()["error"]
        metrics = (await server.http.get(f"{server.base_url}/metrics")).text
    for outcome in ("ok", "limited"):
        line = f'sightline_tool_calls_total{{outcome="{outcome}",tool="GET /assets"}} 1.0'
        assert line in metrics
    first, second = [json.loads(line) for line in audit.read_text().splitlines()]
    assert first["principal"] == "ann"
    assert first["assets"] == [ASSET]
    assert first["arguments"] == ["asset", "max_edge"]
    assert (first["outcome"], second["outcome"]) == ("ok", "limited")


async def test_open_requests_of_a_principal_are_limited(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    async with open_picture_server(
        tmp_path, database, database_dsn, http__max_connections=4
    ) as server:
        async with server.locked_assets() as locked:
            # Half of what there is.
            waiting = [asyncio.create_task(server.get()) for _ in range(2)]
            await server.until_waiting(locked, 2)
            refused = await server.get()
            assert (refused.status_code, refused.text) == (429, "too many open requests\n")
        assert [size_of(each) for each in await asyncio.gather(*waiting)] == [SIZE, SIZE]


async def test_a_request_is_stopped_at_the_time_limit_of_a_call(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    limits = {"limits__call_timeout_seconds": 0.3}
    async with (
        open_picture_server(tmp_path, database, database_dsn, **limits) as server,
        server.locked_assets(),
    ):
        response = await server.get()
        assert response.status_code == 504
        assert "was stopped after 0.3 s" in response.json()["error"]


async def test_a_request_ends_when_its_client_has_gone(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    audit = tmp_path / "audit.jsonl"
    async with (
        open_picture_server(tmp_path, database, database_dsn, log__audit_file=audit) as server,
        server.locked_assets() as locked,
    ):
        request = asyncio.create_task(server.get())
        await server.until_waiting(locked)
        request.cancel()
        await server.running.app.running_calls.wait_idle(60)
        (line,) = audit.read_text().splitlines()
        assert json.loads(line)["outcome"] == "cancelled"


async def test_a_running_request_finishes_before_the_server_stops(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    async with (
        open_picture_server(tmp_path, database, database_dsn) as server,
        server.locked_assets() as locked,
    ):
        request = asyncio.create_task(server.get())
        await server.until_waiting(locked)
        stopping = asyncio.create_task(server.running.stop(60))
        await asyncio.sleep(0)
        await locked.rollback()
        assert size_of(await request) == SIZE
        await stopping


async def test_an_unreachable_database_gets_503(server: PictureServer) -> None:
    assert (await server.get()).status_code == 200
    assert server.running.app.runtime is not None
    await (await server.running.app.runtime.database.get()).close()
    response = await server.get()
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


async def test_a_changed_file_is_an_error_and_not_sent(
    server: PictureServer, tmp_path: Path
) -> None:
    (tmp_path / "picture.png").write_bytes(b"secret")
    response = await server.get()
    assert response.status_code == 500
    assert "changed" in response.json()["error"]
    assert "secret" not in response.text


async def test_without_tokens_this_machine_may_read_pictures(
    tmp_path: Path, database: Database, database_dsn: str
) -> None:
    async with (
        open_picture_server(tmp_path, database, database_dsn, auth__tokens_file=None) as server,
        httpx2.AsyncClient() as http,
    ):
        assert (await http.get(f"{server.base_url}/assets/{ASSET}")).status_code == 200
