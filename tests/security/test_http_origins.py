"""Requests that a web page makes under another name are refused on every route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from sightline.server.auth.static_tokens import issue_token
from sightline.server.http.http_server import start_http_server
from tests.security.two_principals import House
from tests.support.raw_http import exchange
from tests.support.settings import make_settings
from tests.support.token_issuer import AUDIENCE, RsaKey, run_issuer

PICTURES = ["/assets/0123456789ab", "/assets/0123456789ab/thumbnail"]
ROUTES = [
    *("/mcp", "/mcp/", "/healthz", "/readyz", "/metrics", *PICTURES),
    *("/nowhere", "/", "/ui/app.js", "//evil.example/"),
]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "DELETE", "PUT", "TRACE", "PROPFIND"]
EVIL_HOSTS = [
    "evil.example",
    "evil.example:8765",
    "127.0.0.1.evil.example",
    "127.0.0.1:80.evil.example",
    "localhost:99.evil.example",
    "localhost:",
    "localhost:80:80",
    "localhost:http",
    "localhost@evil.example",
    "localhost.",
    "xlocalhost",
    "127.0.0.2",
    "2130706433",
    "0.0.0.0",
    "[::1].evil.example",
    "[::1%25lo]",
    "",
]
EVIL_ORIGINS = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://localhost:99.evil.example",
    "http://localhost:80@evil.example",
    "http://evil.example/http://localhost",
    "https://localhost",
    "file://",
    "null",
    "",
]


@pytest.fixture
async def base_url(tmp_path: Path) -> AsyncIterator[str]:
    async with start_http_server(make_settings(tmp_path)) as (url, _):
        yield url.removesuffix("/mcp")


async def ask(http: httpx2.AsyncClient, method: str, url: str, **headers: str) -> tuple[int, str]:
    """Return the status, and everything that the answer contains."""
    response = await http.request(method, url, headers=headers)
    return response.status_code, f"{response.headers} {response.text}"


async def test_the_public_address_is_the_only_other_origin(tmp_path: Path) -> None:
    public = "https://eyes.example:443/mcp"  # browsers leave out the default port
    settings = make_settings(tmp_path, http__public_url=public)
    async with start_http_server(settings) as (url, _), httpx2.AsyncClient() as http:
        page = url.removesuffix("mcp")
        name = "eyes.example"
        for origin, status in (
            (f"https://{name}", 200),
            (f"http://{name}", 403),
            (f"https://{name}:444", 403),
            (f"https://www.{name}", 403),
        ):
            assert (await ask(http, "GET", page, host=name, origin=origin))[0] == status
        assert (await ask(http, "GET", page, host=f"{name}:444"))[0] == 421


async def test_the_web_app_of_a_server_on_all_addresses_may_call_it(tmp_path: Path) -> None:
    _, stored = issue_token("ann", ["read"])
    settings = make_settings(tmp_path, tokens=str(stored), http__host="0.0.0.0")
    async with start_http_server(settings) as (url, _), httpx2.AsyncClient() as http:
        port = httpx2.URL(url).port
        for origin, status in ((f"http://localhost:{port}", 401), ("http://evil.example", 403)):
            address = f"http://127.0.0.1:{port}/mcp"  # the address of the container
            assert (await ask(http, "POST", address, origin=origin))[0] == status


@pytest.mark.parametrize("method", METHODS)
async def test_every_route_and_method_refuses_other_hosts_and_origins(
    base_url: str, method: str
) -> None:
    async with httpx2.AsyncClient() as http:
        for route in ROUTES:
            status, answer = await ask(http, method, base_url + route, Host="evil.example")
            assert status == 421, route
            assert "evil" not in answer
            origin = "https://evil.example"
            status, answer = await ask(http, method, base_url + route, Origin=origin)
            assert status == 403, route
            assert "evil" not in answer


async def test_names_that_only_resemble_an_allowed_one_are_refused(base_url: str) -> None:
    async with httpx2.AsyncClient() as http:
        for host in EVIL_HOSTS:
            status, _ = await ask(http, "GET", f"{base_url}/healthz", Host=host)
            assert status == 421, host
        for origin in EVIL_ORIGINS:
            status, _ = await ask(http, "GET", f"{base_url}/healthz", Origin=origin)
            assert status == 403, origin
        for host in ("localhost", "LocalHost:1", "[::1]:65535", "127.0.0.1"):
            for origin in ({}, {"Origin": f"http://{host}"}):
                status, _ = await ask(http, "GET", f"{base_url}/healthz", Host=host, **origin)
                assert status == 200, (host, origin)


@pytest.mark.parametrize("end", ["%0A", "%0a", "%0D", "%00", "%C2%85", "%E2%80%A8", "%20%0A"])
async def test_a_route_cannot_be_reached_by_another_path(base_url: str, end: str) -> None:
    # A limit that applies to a path could be avoided.
    async with httpx2.AsyncClient() as http:
        for route in ("/mcp", "/healthz", "/readyz", "/metrics", *PICTURES):
            assert (await http.get(base_url + route + end)).status_code == 404
            assert (await http.post(base_url + route + end)).status_code == 404


async def test_no_request_is_redirected(base_url: str) -> None:
    directories = [f"{route}/" for route in ("/mcp", "/healthz", "/metrics", *PICTURES)]
    async with httpx2.AsyncClient() as http:
        for route in (*directories, "//evil.example/mcp"):
            response = await http.get(base_url + route, headers={"Host": "localhost"})
            assert response.status_code == 404, route
            assert "location" not in response.headers


async def test_the_metadata_of_the_authorization_server_is_checked_too(tmp_path: Path) -> None:
    async with run_issuer(RsaKey("one")) as issuer:
        settings = make_settings(
            tmp_path,
            auth__jwt__issuer=issuer.name,
            auth__jwt__jwks_url=issuer.url,
            auth__jwt__audience=AUDIENCE,
        )
        async with start_http_server(settings) as (url, _), httpx2.AsyncClient() as http:
            where = url.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/mcp"
            assert (await http.get(where)).status_code == 200
            assert (await ask(http, "GET", where, Host="evil.example"))[0] == 421
            status, answer = await ask(http, "GET", where, Host="localhost:4444")
            assert status == 200
            assert "4444" not in answer


@pytest.mark.parametrize(
    "lines",
    [
        [b"Host: localhost", b"Host: evil.example"],
        [b"Host: localhost", b"Origin: http://localhost", b"Origin: https://evil.example"],
        [b"Host: localhost", b"Authorization: Bearer a", b"Authorization: Bearer b"],
        [b"Host: localhost", b"Mcp-Session-Id: a", b"Mcp-Session-Id: b"],
    ],
)
async def test_a_header_that_decides_may_occur_once_only(base_url: str, lines: list[bytes]) -> None:
    head = b"\r\n".join([b"GET /healthz HTTP/1.1", *lines, b"Connection: close", b"", b""])
    assert (await exchange(base_url, head)).startswith(b"HTTP/1.1 400 ")


async def test_a_request_without_host_is_refused(base_url: str) -> None:
    for line, status in ((b"GET /healthz HTTP/1.0", b"421"), (b"GET /healthz HTTP/1.1", b"400")):
        answer = await exchange(base_url, line + b"\r\nConnection: close\r\n\r\n")
        assert answer.split(b" ")[1] == status


async def test_metrics_need_a_token_with_their_scope(house: House) -> None:
    async with httpx2.AsyncClient() as http:
        where = f"{house.base_url}/metrics"
        statuses = {
            who: (await http.get(where, headers=house.headers(who))).status_code
            for who in ("alice", "bob", "nil", "boss")
        }
        assert statuses == {"alice": 403, "bob": 403, "nil": 403, "boss": 200}
        assert (await http.get(where)).status_code == 401


async def test_a_flood_of_readiness_requests_probes_once(tmp_path: Path, database_dsn: str) -> None:
    connections = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    model = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = model.sockets[0].getsockname()[1]
    settings = make_settings(
        tmp_path,
        database__url=database_dsn,
        vlm__base_url=f"http://127.0.0.1:{port}/v1",
        vlm__model="test",
    )
    async with model, start_http_server(settings) as (url, running), httpx2.AsyncClient() as http:
        base = url.removesuffix("/mcp")
        await http.get(f"{base}/healthz")
        assert running.app.runtime is not None
        await running.app.runtime.database.get()
        bodies = [
            response.json()
            for response in await asyncio.gather(*(http.get(f"{base}/readyz") for _ in range(64)))
        ]
        assert {body["vision"] for body in bodies} == {"unreachable"}
        assert 1 <= connections <= 8
