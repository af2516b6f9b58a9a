"""Tests of the 403 challenge for signed tokens that lack a scope."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from sightline.server.auth import static_tokens
from sightline.server.http.http_limits import DEFAULT_LIMITS
from sightline.server.http.http_server import start_http_server
from tests.server.http.test_http_server import MODES, connect, text_of
from tests.support.mcp_messages import ACCEPT
from tests.support.settings import make_settings
from tests.support.token_issuer import RsaKey, run_issuer

KEY = RsaKey("one")
DELETE = {"name": "delete_assets", "arguments": {"assets": ["0" * 12]}}
LACKS = "the tool delete_assets needs a token with scope 'write'; 'jwt:ada' has 'read'"


@asynccontextmanager
async def run_server_with_issuer(tmp_path: Path, **options: Any) -> AsyncIterator[str]:
    async with run_issuer(KEY) as issuer:
        signed = {"auth__jwt__issuer": issuer.name, "auth__jwt__jwks_url": issuer.url}
        async with start_http_server(make_settings(tmp_path, **signed, **options)) as (url, _):
            yield url


async def send_request(url: str, token: str, method: str, params: Any) -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    headers = {**ACCEPT, "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient() as http:
        return await http.post(url, headers=headers, json=body)


async def test_the_challenge_names_the_missing_scope_and_the_metadata_url(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    async with run_server_with_issuer(
        tmp_path, auth__jwt__scope_prefix="sl:", log__audit_file=audit
    ) as url:
        token = KEY.token(aud=url, scope="sl:read")
        refused = await send_request(url, token, "tools/call", DELETE)
        assert refused.status_code == 403
        where = url.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/mcp"
        assert refused.headers["www-authenticate"] == (
            'Bearer error="insufficient_scope", scope="sl:write", '
            f'resource_metadata="{where}", '
            'error_description="this operation needs the scope sl:write"'
        )
        error = refused.json()
        assert (error["id"], error["error"]["message"]) == (7, LACKS)
        async with httpx2.AsyncClient() as http:
            assert "sl:write" in (await http.get(where)).json()["scopes_supported"]
        reading = KEY.token(aud=url, scope="sl:write")
        refused = await send_request(url, reading, "resources/read", {"uri": "sightline://asset/x"})
        assert 'scope="sl:read"' in refused.headers["www-authenticate"]
    written = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(each["principal"], each["call"], each["outcome"]) for each in written] == [
        ("jwt:ada", "delete_assets", "denied"),
        ("jwt:ada", "resources/read", "denied"),
    ]
    assert written[0]["assets"] == ["0" * 12]


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_without_step_up_shows_the_message(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    async with (
        run_server_with_issuer(tmp_path, database__url=database_dsn) as url,
        connect(url, mode, KEY.token(aud=url, scope="read")) as client,
    ):
        with pytest.raises(MCPError, match=re.escape(LACKS)):
            await client.call_tool(DELETE["name"], DELETE["arguments"])
        assert not (await client.call_tool("list_collections", {})).is_error


class StepUpAuth(httpx2.Auth):
    """Client authentication that requests the scope of a challenge."""

    def __init__(self, audience: str) -> None:
        self.audience, self.scopes = audience, ["read"]

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        def authorize() -> None:
            token = KEY.token(aud=self.audience, scope=" ".join(self.scopes))
            request.headers["Authorization"] = f"Bearer {token}"

        authorize()
        response = yield request
        challenge = response.headers.get("www-authenticate", "")
        found = re.search(r'error="insufficient_scope", scope="(\w+)"', challenge)
        if response.status_code == 403 and found:
            self.scopes.append(found[1])
            authorize()
            yield request


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_with_step_up_gets_its_answer_in_the_same_call(
    mode: str, tmp_path: Path, database_dsn: str
) -> None:
    async with run_server_with_issuer(tmp_path, database__url=database_dsn) as url:
        auth = StepUpAuth(url)
        async with (
            httpx2.AsyncClient(auth=auth) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            answer = await client.call_tool(DELETE["name"], DELETE["arguments"])
    assert auth.scopes == ["read", "write"]
    assert "needs a token" not in text_of(answer)


async def test_a_static_token_without_the_scope_gets_a_tool_error(
    tmp_path: Path, database_dsn: str
) -> None:
    secret, stored = static_tokens.issue_token("laptop", ["read"])
    async with (
        run_server_with_issuer(tmp_path, database__url=database_dsn, tokens=str(stored)) as url,
        connect(url, "auto", secret) as client,
    ):
        refused = await client.call_tool(DELETE["name"], DELETE["arguments"])
    assert refused.is_error
    assert "'laptop' has 'read'" in text_of(refused)


async def test_the_server_answers_invalid_and_too_large_requests(
    tmp_path: Path,
) -> None:
    async with run_server_with_issuer(tmp_path) as url:
        token = KEY.token(aud=url, scope="read")
        for params in ({"name": "no_such_tool"}, {"name": ["delete_assets"]}, ["x"], None):
            assert (await send_request(url, token, "tools/call", params)).status_code == 400
        large = await send_request(
            url, token, "tools/call", {**DELETE, "x": "x" * DEFAULT_LIMITS.max_body_bytes}
        )
        assert large.status_code == 413
