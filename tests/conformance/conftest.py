"""Servers as clients reach them, and the pinned Node.js programs that judge them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sightline.server.config import Settings, load_settings
from sightline.server.http.http_server import start_http_server
from sightline.tools.registry import register_all
from tests.acceptance import gallery
from tests.conformance import fixtures
from tests.support.settings import NO_DATABASE

MODULES = Path(__file__).parent / "node_modules"
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
INSPECTOR = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"


@dataclass(frozen=True)
class Ended:
    """A program that has ended, with all that it wrote."""

    code: int
    out: str
    err: str


async def run_node(program: Path, *arguments: str, seconds: float = 120) -> Ended:
    """Run a program of ``node_modules``, which `make conformance` installs."""
    node = shutil.which("node", path=f"{MODULES / '.bin'}{os.pathsep}{os.environ['PATH']}")
    assert node is not None, "there is no Node.js; run: make conformance"
    with TemporaryDirectory(prefix="sightline-node-") as home:  # the Inspector writes there
        process = await asyncio.create_subprocess_exec(
            *(node, str(program), *arguments),
            env={**os.environ, "HOME": home},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def fixtures_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with what the suite asks for beside its own tools. No scenario needs a database."""
    register = (register_all, fixtures.register)
    async with start_http_server(_idle(tmp_path), register=register) as (url, _):
        yield url


@pytest.fixture
async def tools_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with every tool of its own, and nothing for them to work on."""
    async with start_http_server(_idle(tmp_path)) as (url, _):
        yield url


def _idle(tmp_path: Path) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data",
        database__url=NO_DATABASE,
        analytics__enabled=True,
        analytics__database_url=NO_DATABASE,
        encoder__model=f"local-dir:{tmp_path / 'nowhere'}",
        http__port=0,
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that the server may read."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("gallery"))) / "gallery"
    gallery.build(folder)
    return folder


@pytest.fixture
async def server_url(tmp_path: Path, pictures: Path) -> AsyncIterator[str]:
    """A server as it is installed, with its own Postgres and encoder and every tool switched on."""
    settings = load_settings(
        data_dir=tmp_path / "data",
        allowed_roots=(pictures,),
        analytics__enabled=True,
        encoder__threads=1,
        ingest__workers=1,
        startup_timeout_seconds=100,
        http__port=0,
    )
    async with start_http_server(settings) as (url, _):
        yield url
