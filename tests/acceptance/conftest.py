"""A whole server with a gallery to work on, reached as its clients reach it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from sightline.server.app import create_app
from sightline.server.config import settings as process_settings
from sightline.server.config.settings import Settings, variable
from sightline.server.http import http_server
from tests.acceptance import gallery
from tests.support import random_clip

#: The command that a client's configuration names.
SIGHTLINE = Path(sys.executable).with_name("sightline")

Connect = Callable[[Settings, str], AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gallery's folder. Nobody changes it."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("gallery"))) / "gallery"
    gallery.build(folder)
    return folder


@pytest.fixture(scope="session")
def random_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that loads as a real one does; it knows likeness of bytes and nothing else."""
    import torch

    torch.set_num_threads(1)
    return random_clip.write(tmp_path_factory.mktemp("models") / "random-clip")


@pytest.fixture
def settings(
    tmp_path: Path, database_dsn: str, pictures: Path, random_encoder_folder: Path
) -> Settings:
    """A server over an empty database that may read the gallery."""
    return process_settings.load(
        data_dir=tmp_path / "data",
        database_url=database_dsn,
        encoder=f"local-dir:{random_encoder_folder}",
        encoder_threads=1,
        allowed_roots=(pictures,),
        ingest_workers=1,
        loading_wait_seconds=200,
        http_port=0,
    )


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a client hands them to a server that it starts."""
    assert settings.database_url is not None
    values = {
        "data_dir": settings.data_dir,
        "database_url": settings.database_url.get_secret_value(),
        "encoder": settings.encoder,
        "encoder_threads": settings.encoder_threads,
        "allowed_roots": os.pathsep.join(map(str, settings.allowed_roots)),
        "ingest_workers": settings.ingest_workers,
        "loading_wait_seconds": settings.loading_wait_seconds,
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {variable(name): str(value) for name, value in values.items()}


@asynccontextmanager
async def in_memory(settings: Settings, mode: str) -> AsyncIterator[Client]:
    async with Client(create_app(settings), mode=mode) as client:
        yield client


@asynccontextmanager
async def over_stdio(settings: Settings, mode: str) -> AsyncIterator[Client]:
    command = StdioServerParameters(
        command=str(SIGHTLINE), args=["serve"], env=environment(settings)
    )
    async with Client(command, mode=mode) as client:
        yield client


@asynccontextmanager
async def over_http(settings: Settings, mode: str) -> AsyncIterator[Client]:
    async with http_server.start_http_server(settings) as (url, _), Client(url, mode=mode) as client:
        yield client


@pytest.fixture(params=[in_memory, over_stdio, over_http])
def connect(request: pytest.FixtureRequest) -> Connect:
    """How a client reaches the server."""
    chosen: Connect = request.param
    return chosen


@pytest.fixture(params=["2026-07-28", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """The era of the protocol that a client speaks."""
    return str(request.param)
