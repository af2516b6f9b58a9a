"""Fixtures: a complete server with a gallery, used through real clients."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from sightline.server.app import create_app
from sightline.server.config import Settings, load_settings, variable
from sightline.server.http import http_server
from tests.acceptance import gallery
from tests.support import random_clip

#: The command in the configuration of a client.
SIGHTLINE = Path(sys.executable).with_name("sightline")

Connect = Callable[[Settings, str], AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the gallery once; tests only read it."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("gallery"))) / "gallery"
    gallery.build(folder)
    return folder


@pytest.fixture(scope="session")
def random_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an encoder with random weights that loads like a real one."""
    import torch

    torch.set_num_threads(1)
    return random_clip.write(tmp_path_factory.mktemp("models") / "random-clip")


@pytest.fixture
def settings(
    tmp_path: Path, database_dsn: str, pictures: Path, random_encoder_folder: Path
) -> Settings:
    """Return settings with an empty database and access to the gallery."""
    return load_settings(
        data_dir=tmp_path / "data",
        database__url=database_dsn,
        encoder__model=f"local-dir:{random_encoder_folder}",
        encoder__threads=1,
        allowed_roots=(pictures,),
        ingest__workers=1,
        startup_timeout_seconds=200,
        http__port=0,
    )


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables for a server process."""
    assert settings.database.url is not None
    values = {
        "data_dir": settings.data_dir,
        "database__url": settings.database.url.get_secret_value(),
        "encoder__model": settings.encoder.model,
        "encoder__threads": settings.encoder.threads,
        "allowed_roots": os.pathsep.join(map(str, settings.allowed_roots)),
        "ingest__workers": settings.ingest.workers,
        "startup_timeout_seconds": settings.startup_timeout_seconds,
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
    async with (
        http_server.start_http_server(settings) as (url, _),
        Client(url, mode=mode) as client,
    ):
        yield client


@pytest.fixture(params=[in_memory, over_stdio, over_http])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Return the transport."""
    chosen: Connect = request.param
    return chosen


@pytest.fixture(params=["2026-07-28", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """Return the protocol revision."""
    return str(request.param)
