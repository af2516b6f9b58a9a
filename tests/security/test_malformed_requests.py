"""Requests that no client sends: each is refused, and none is an internal error."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.security.two_principals import ALICE, House, call, connected
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.raw_http import exchange

#: One request in the protocol revision without sessions.
LISTING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_collections", "arguments": {}},
}


async def send(house: House, *lines: str, body: bytes = b"", path: str = "/mcp") -> list[int]:
    """Send one raw POST and return the statuses of all answers on the connection."""
    host = house.base_url.removeprefix("http://")
    accept = f"Accept: {ACCEPT['Accept']}"
    head = [f"POST {path} HTTP/1.1", accept, "Content-Type: application/json"]
    if not any(line.lower().startswith("host:") for line in lines):
        head.append(f"Host: {host}")
    if not any(line.lower().startswith(("content-length", "transfer-enc")) for line in lines):
        head.append(f"Content-Length: {len(body)}")
    head += [*lines, "Connection: close", "", ""]
    return await statuses_of(house, "\r\n".join(head).encode("latin-1") + body)


async def statuses_of(house: House, data: bytes) -> list[int]:
    answer = await exchange(house.base_url, data)
    return [int(line.split()[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def token(house: House, who: str) -> str:
    return f"Authorization: Bearer {house.tokens[who]}"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "DELETE", "QUERY"])
async def test_other_methods_are_refused(method: str, house: House) -> None:
    async with httpx2.AsyncClient() as http:
        for headers in ({}, house.headers("alice")):
            response = await http.request(method, house.url, headers=headers)
            assert 400 <= response.status_code < 500, headers


@pytest.mark.parametrize(
    "path",
    [
        *("/mcp/../metrics", "/mcp/%2e%2e/metrics", "//metrics", "/metrics/", "/metrics;x"),
        *("/METRICS", "/mcp/", "//mcp", "/mcp%2f", "/mcp%00", "/%2e%2e/%2e%2e/etc/passwd"),
        *("/../../etc/passwd", "/.well-known/../mcp", "/healthz/../metrics", "http://x/mcp"),
    ],
)
async def test_other_spellings_of_a_path_open_nothing(path: str, house: House) -> None:
    address = house.base_url.removeprefix("http://")
    for method in ("GET", "POST"):
        head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n"
        statuses = await statuses_of(house, f"{head}Connection: close\r\n\r\n".encode())
        assert all(300 <= status < 500 for status in statuses), statuses
        assert statuses


@pytest.mark.parametrize("name", ["access_token", "token", "Authorization", "bearer"])
async def test_a_token_in_the_query_is_not_read(name: str, house: House) -> None:
    secret = house.tokens["alice"]
    for path in ("/mcp", "/metrics", f"/assets/{house.assets[ALICE][0]}"):
        assert await send(house, path=f"{path}?{name}={secret}") in ([401], [405])
    assert await send(house, f"Cookie: {name}={secret}", body=b"{}") == [401]


async def test_two_tokens_never_mix_two_principals(house: House) -> None:
    body = json.dumps(LISTING).encode()
    for first, second in (("alice", "bob"), ("bob", "alice")):
        statuses = await send(house, token(house, first), token(house, second), body=body)
        assert statuses == [400]
    assert await send(house, "Authorization: Bearer x", "Authorization: Bearer y") == [400]


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 2, 3",),
        ("Content-Length: -1",),
        ("Content-Length: +2",),
        ("Content-Length: 0x2",),
        ("Content-Length: 2_0",),
        ("Content-Length: " + "9" * 400,),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked, chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Host: a.example", "Host: b.example"),
        ("Host:",),
        ("X-Long: " + "x" * 100_000,),
        ("X-Bad: a\x00b",),
        (" folded: x",),
    ],
    ids=lambda lines: lines[0][:40].encode("unicode_escape").decode(),
)
async def test_ambiguous_heads_are_refused(lines: tuple[str, ...], house: House) -> None:
    statuses = await send(house, token(house, "alice"), *lines, body=b"{}")
    assert len(statuses) <= 1
    assert all(400 <= status < 500 for status in statuses)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"jsonrpc": "2.0", "id": ' + b"9" * 5_000 + b', "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": 1e999, "method": "ping"}',
        b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}',
        json.dumps([LISTING] * 1_000).encode(),
        json.dumps({**LISTING, "params": {"name": "x" * 100_000, "arguments": {}}}).encode(),
        json.dumps({**LISTING, "id": {"a": 1}}).encode(),
        json.dumps({**LISTING, "method": "tools/\u202ecall"}).encode(),
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_broken_messages_are_not_internal_errors(body: bytes, house: House) -> None:
    (status,) = await send(house, token(house, "alice"), body=body)
    assert status < 500
    async with house.client("alice") as alice:  # the server goes on
        assert ALICE in await call(alice, "list_collections")


@pytest.mark.parametrize(
    "secret",
    ["", "x", "sl_", "sl_" + "x" * 43, "sl_" + "x" * 30_000, "a.b.c", "eyJ" + "A" * 60_000, "\xe9"],
    ids=lambda secret: f"{secret[:8]!r}-{len(secret)}",
)
async def test_garbage_tokens_are_refused(secret: str, house: House) -> None:
    (status,) = await send(house, f"Authorization: Bearer {secret}", body=b"{}")
    assert status in (400, 401, 431)


async def initialize(http: httpx2.AsyncClient, house: House, headers: dict[str, str]) -> str:
    response = await http.post(house.url, json=INITIALIZE, headers={**headers, **ACCEPT})
    assert response.status_code == 200
    return response.headers["mcp-session-id"]


async def in_session(
    http: httpx2.AsyncClient, house: House, session: str, headers: dict[str, str], **more: Any
) -> httpx2.Response:
    arguments = {"json": LISTING, "method": "POST", **more}
    sent = {
        **headers,
        **ACCEPT,
        "mcp-session-id": session,
        "mcp-protocol-version": "2025-11-25",
    }
    return await http.request(url=house.url, headers=sent, **arguments)


async def test_a_session_belongs_to_its_principal(house: House) -> None:
    async with httpx2.AsyncClient(timeout=60) as http:
        session = await initialize(http, house, house.headers("alice"))
        unknown = await in_session(http, house, "0" * len(session), house.headers("bob"))
        for method, body in (("POST", LISTING), ("DELETE", None), ("GET", None)):
            for who in ("bob", "boss", "nil"):
                refused = await in_session(
                    http, house, session, house.headers(who), method=method, json=body
                )
                assert refused.status_code == 404
                if method == "POST":
                    assert refused.text == unknown.text
            anonymous = await in_session(http, house, session, {}, method=method, json=body)
            assert anonymous.status_code == 401
        own = await in_session(http, house, session, house.headers("alice"))
        assert own.status_code == 200
        assert ALICE in own.text


async def test_a_session_gives_no_scope_to_a_lesser_token(house: House) -> None:
    def bearer(scope: str) -> dict[str, str]:
        signed = house.jwt_key.token(headers={"typ": "at+jwt"}, sub="zoe", scope=scope)
        return {"Authorization": f"Bearer {signed}"}

    deletion = {**LISTING, "params": {"name": "delete_assets", "arguments": {"assets": ["0" * 12]}}}
    async with httpx2.AsyncClient(timeout=60) as http:
        session = await initialize(http, house, bearer("read write"))
        allowed = await in_session(http, house, session, bearer("read write"), json=deletion)
        assert "Unknown asset" in allowed.text
        lesser = await in_session(http, house, session, bearer("read"), json=deletion)
        assert "Unknown asset" not in lesser.text
        assert lesser.status_code == 403


async def test_a_signed_token_without_a_binding_sees_nothing(house: House) -> None:
    for claims in ({"sub": "alice"}, {"sub": "jwt:alice"}, {"sub": "*"}, {"sub": "boss"}):
        signed = house.jwt_key.token(headers={"typ": "at+jwt"}, scope="read write", **claims)
        async with connected(house.url, signed) as client:
            assert json.loads(await call(client, "list_collections")) == {"collections": []}


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": 1},
        {"aud": "https://other.example/mcp"},
        {"iss": "https://evil.example/"},
        {"sub": None},
        {"nbf": 2**40},
        {"iat": 2**40},
    ],
    ids=repr,
)
async def test_invalid_signed_tokens_get_401(claims: dict[str, Any], house: House) -> None:
    signed = house.jwt_key.token(headers={"typ": "at+jwt"}, **claims)
    assert await send(house, f"Authorization: Bearer {signed}", body=b"{}") == [401]
