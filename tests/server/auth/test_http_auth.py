"""Tests of HTTP authentication with static and signed tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from sightline.server.auth import static_tokens
from sightline.server.auth.http_auth import create_http_auth, resource_url
from sightline.server.config import Settings, load_settings
from sightline.server.http.http_server import start_http_server
from sightline.storage.errors import ConfigurationError
from tests.server.http.test_http_server import connect, post
from tests.support.settings import NO_DATABASE, make_settings
from tests.support.token_issuer import Issuer, RsaKey, run_issuer

KEY = RsaKey("one")
ADDRESS = "http://127.0.0.1:1/mcp"


def issuer_settings(tmp_path: Path, issuer: Issuer, **options: Any) -> Settings:
    return make_settings(
        tmp_path, **{"auth__jwt__issuer": issuer.name, "auth__jwt__jwks_url": issuer.url, **options}
    )


async def test_the_scopes_of_a_signed_token_decide_which_tools_it_may_call(
    tmp_path: Path, database_dsn: str
) -> None:
    async with (
        run_issuer(KEY) as issuer,
        start_http_server(issuer_settings(tmp_path, issuer, database__url=database_dsn)) as (
            url,
            _,
        ),
        connect(url, "auto", KEY.token(aud=url, scope="read")) as client,
    ):
        assert not (await client.call_tool("list_collections", {})).is_error
        with pytest.raises(MCPError, match="'write'; 'jwt:ada' has 'read'"):
            await client.call_tool("delete_assets", {"assets": ["0" * 12]})


async def test_static_and_signed_tokens_work_together(tmp_path: Path) -> None:
    secret, stored = static_tokens.issue_token("laptop", ["read"])
    async with (
        run_issuer(KEY) as issuer,
        start_http_server(issuer_settings(tmp_path, issuer, tokens=str(stored))) as (url, _),
    ):
        for token, status in (
            (secret, 200),
            (KEY.token(aud=url), 200),
            (KEY.token(), 401),  # for another audience
            (secret + "x", 401),
            ("x" * 6_000, 401),
            ("x" * 60_000, 400),  # longer than a request head may be
        ):
            answer = await post(url, Authorization=f"Bearer {token}")
            assert answer.status_code == status


async def test_the_challenge_and_metadata_name_the_authorization_server(tmp_path: Path) -> None:
    async with (
        run_issuer(KEY) as issuer,
        start_http_server(issuer_settings(tmp_path, issuer, auth__jwt__scope_prefix="sl:")) as (
            url,
            _,
        ),
        httpx2.AsyncClient() as http,
    ):
        refused = await post(url)
        assert refused.status_code == 401
        where = url.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{where}"' in refused.headers["www-authenticate"]
        assert (await http.get(where)).json() == {
            "resource": url,
            "authorization_servers": [issuer.name],
            "scopes_supported": ["sl:read", "sl:write", "sl:analytics", "sl:metrics"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Sightline",
        }


async def test_requests_get_503_while_the_keys_are_unavailable(tmp_path: Path) -> None:
    async with run_issuer(KEY) as issuer:
        await issuer.stop()
        async with start_http_server(issuer_settings(tmp_path, issuer)) as (url, _):
            answer = await post(url, Authorization=f"Bearer {KEY.token(aud=url)}")
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            async with httpx2.AsyncClient() as http:
                alive = await http.get(url.removesuffix("/mcp") + "/healthz")
            assert alive.status_code == 200


async def test_the_reason_of_a_rejection_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sightline")
    async with (
        run_issuer(KEY) as issuer,
        start_http_server(issuer_settings(tmp_path, issuer)) as (url, _),
    ):
        expired = KEY.token(aud=url, exp=1)
        answer = await post(url, Authorization=f"Bearer {expired}")
    assert "expired" not in answer.text + str(answer.headers)
    assert "it has expired" in caplog.text
    assert expired not in caplog.text


@pytest.mark.parametrize(
    ("public", "named"),
    [
        (None, ADDRESS),
        ("https://eyes.example", "https://eyes.example/mcp"),
        ("https://eyes.example/", "https://eyes.example/mcp"),
        ("https://example.org/eyes/mcp", "https://example.org/eyes/mcp"),
    ],
)
def test_the_audience_is_the_address_that_clients_use(
    public: str | None, named: str, tmp_path: Path
) -> None:
    assert resource_url(make_settings(tmp_path, http__public_url=public), ADDRESS) == named


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "SIGHTLINE_AUTH__JWT__ISSUER needs SIGHTLINE_AUTH__JWT__JWKS_URL"),
        ({"auth__jwt__jwks_url": "http://login.example/keys"}, "use https"),
        (
            {"auth__jwt__jwks_url": "https://login.example/keys", "http__host": "0.0.0.0"},
            "needs SIGHTLINE_HTTP__PUBLIC_URL",
        ),
    ],
)
def test_an_incomplete_configuration_is_an_error(
    options: dict[str, str], message: str, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, auth__jwt__issuer="https://login.example", **options)
    with pytest.raises(ConfigurationError, match=message):
        create_http_auth(settings, ADDRESS)


@pytest.mark.parametrize("algorithms", ["HS256", "none", "RS256,HS512", ""])
def test_symmetric_algorithms_cannot_be_configured(algorithms: str) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_AUTH__JWT__ALGORITHMS"):
        load_settings(database__url=NO_DATABASE, auth__jwt__algorithms=algorithms)
