"""The configuration of nginx, with a real nginx, TLS and a prefix in front of a real server."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from sightline.server.auth.static_tokens import issue_token
from sightline.server.http.http_server import start_http_server
from tests.support.https_site import write_certificate
from tests.support.ports import free_port
from tests.support.results import json_of
from tests.support.settings import make_settings

CONFIGURATION = Path(__file__).parents[2] / "packaging" / "nginx" / "sightline.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass(frozen=True)
class Site:
    """Addresses that clients use, with a client that trusts the certificate and has a token."""

    https: int
    http: int
    client: httpx.AsyncClient

    def url(self, path: str) -> str:
        return f"https://localhost:{self.https}{path}"


def _configured(folder: Path, backend: int, https: int, http: int) -> Path:
    """Write the configuration for free ports and a certificate of the test."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for old, new in (
        ("127.0.0.1:8765", f"127.0.0.1:{backend}"),
        ("listen 443", f"listen 127.0.0.1:{https}"),
        ("listen 80", f"listen 127.0.0.1:{http}"),
        ("/etc/ssl/sightline/fullchain.pem", f"{folder}/certificate.pem"),
        ("/etc/ssl/sightline/privkey.pem", f"{folder}/key.pem"),
        ("eyes.example", "localhost"),
        # With the port of the test, which is not the default of https.
        ("proxy_set_header Host $host;", "proxy_set_header Host $http_host;"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    text = re.sub(r"(?m)^ *listen \[::\].*\n", "", text)
    path = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    return path


async def _wait_until_listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
    raise AssertionError(f"nginx ended with {process.returncode}")


@asynccontextmanager
async def serve(folder: Path, **settings: object) -> AsyncIterator[Site]:
    """Run a server behind nginx."""
    assert NGINX is not None
    secret, stored = issue_token("alice", ["read"])
    backend, https, http = free_port(), free_port(), free_port()
    write_certificate(folder, ("localhost",))
    public = f"https://localhost:{https}/sight/mcp"
    chosen = {"http__port": backend, "http__public_url": public, **settings}
    async with start_http_server(make_settings(folder, tokens=str(stored), **chosen)):
        process = await asyncio.create_subprocess_exec(
            NGINX, "-c", str(_configured(folder, backend, https, http)), "-p", str(folder)
        )
        try:
            await _wait_until_listening(process, https)
            async with httpx.AsyncClient(
                verify=ssl.create_default_context(cafile=str(folder / "certificate.pem")),
                headers={"Authorization": f"Bearer {secret}"},
                trust_env=False,
            ) as client:
                yield Site(https, http, client)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def test_a_client_calls_a_tool_through_tls_and_a_prefix(
    tmp_path: Path, database_dsn: str
) -> None:
    async with serve(tmp_path, database__url=database_dsn) as site:
        transport = streamable_http_client(site.url("/sight/mcp"), http_client=site.client)
        async with Client(transport) as client:
            result = await client.call_tool("list_collections", {})
        assert json_of(result)["collections"] == []
        # The address of a picture in results: behind the prefix, and known to the server.
        for path in ("k3v9m2q8x1ab", "k3v9m2q8x1ab/thumbnail", "k3v9m2q8x1ab?crop=0,0,1,1"):
            picture = await site.client.get(site.url(f"/sight/assets/{path}"))
            assert (picture.status_code, "k3v9m2q8x1ab" in picture.text) == (404, True)
        media = site.url("/sight/assets/k3v9m2q8x1ab/media")
        assert "k3v9m2q8x1ab" in (await site.client.get(f"{media}-link")).json()["error"]
        assert "Get a new one" in (await site.client.get(f"{media}?link=x")).json()["error"]


async def test_the_web_app_is_behind_the_prefix(tmp_path: Path) -> None:
    async with serve(tmp_path) as site:
        page = await site.client.get(site.url("/sight/"))
        assert (page.status_code, "./ui/app.js" in page.text) == (200, True)
        for name in ("app.js", "app.css"):  # the addresses in the page are relative
            file = await site.client.get(site.url(f"/sight/ui/{name}"))
            assert (file.status_code, len(file.content) > 1_000) == (200, True)
        for origin, status in ((site.url(""), 200), ("https://evil.example", 403)):
            answer = await site.client.get(site.url("/sight/"), headers={"Origin": origin})
            assert answer.status_code == status


async def test_what_is_not_for_clients_stays_on_the_machine(tmp_path: Path) -> None:
    async with serve(tmp_path) as site:
        for path in (
            "/sight/metrics",
            "/sight/%6detrics",
            "/sight//metrics",
            "/sight/assets/../metrics",
            "/sight/assets/..%2fmetrics",
            "/sight/assets/%252e%252e/metrics",
            "/sight/ui/../metrics",
            "/sight/ui/..%2fmetrics",
            "/sight/ui/app.js/",
            "/ui/app.js",
            "/sight/readyz",
            "/metrics",
            "/mcp",
            "/",
        ):
            response = await site.client.get(site.url(path))
            assert (response.status_code, "nginx" in response.text) == (404, True), path
        plain = await site.client.get(f"http://localhost:{site.http}/sight/mcp?images=link")
        assert plain.status_code == 301
        assert plain.headers["location"] == "https://localhost/sight/mcp?images=link"
        anonymous = await site.client.post(
            site.url("/sight/mcp"), headers={"Authorization": ""}, json={}
        )
        assert anonymous.status_code == 401


async def test_the_metadata_of_oauth_is_where_clients_look(tmp_path: Path) -> None:
    jwt = {
        "auth__jwt__issuer": "https://login.example",
        "auth__jwt__jwks_url": "https://login.example/keys",
    }
    async with serve(tmp_path, **jwt) as site:
        refused = await site.client.post(
            site.url("/sight/mcp"), headers={"Authorization": ""}, json={}
        )
        challenge = refused.headers["www-authenticate"]
        (address,) = re.findall(r'resource_metadata="([^"]+)"', challenge)
        assert urlsplit(address).path == "/.well-known/oauth-protected-resource/sight/mcp"
        metadata = (await site.client.get(address)).json()
        assert metadata["resource"] == site.url("/sight/mcp")
        assert metadata["authorization_servers"] == ["https://login.example"]


@pytest.mark.parametrize("directive", ["proxy_bufering off;", "proxy_read_timeout soon;"])
def test_nginx_finds_mistakes(directive: str, tmp_path: Path) -> None:
    assert NGINX is not None
    write_certificate(tmp_path, ("localhost",))
    path = _configured(tmp_path, 1, free_port(), free_port())
    check = [NGINX, "-t", "-q", "-c", str(path), "-p", str(tmp_path)]
    assert subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode == 0
    path.write_text(path.read_text().replace("proxy_buffering off;", directive))
    assert subprocess.run(check, check=False, stderr=subprocess.DEVNULL).returncode != 0
