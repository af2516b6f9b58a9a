"""Fixtures: one ingested album, used in this process and on a server with a token."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg import sql
from psycopg.conninfo import make_conninfo
from reportlab.pdfgen.canvas import Canvas

from sightline.client import Sightline
from sightline.server.auth import static_tokens
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings, load_settings
from sightline.server.http.http_server import start_http_server
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from tests.support import media, random_clip
from tests.support.sample_images import fill

_DATABASE = "client_album"
ALBUM = "album"
CAPTIONS = ("A red bus at the harbour", "A blue bus in the rain", "A rose in the garden")
NOTES = "The bus to the harbour leaves at seven.\n"


@dataclass(frozen=True)
class Server:
    """A running server: its address, and tokens by name."""

    url: str
    tokens: dict[str, str]


def _draw_manual(canvas: Canvas) -> None:
    canvas.drawString(50, 300, "Replace the filter of the pump every spring.")


@pytest.fixture(scope="session")
def installation(
    postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Return settings of a database with two collections; tests only read it."""
    import torch

    torch.set_num_threads(1)
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("client")))
    names = {"name": sql.Identifier(_DATABASE), "template": sql.Identifier(_template)}
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
    pictures = folder / "pictures"
    rows = [
        {"file_name": path.name, "text": caption, "line": number, "source": "camera"}
        for number, (path, caption) in enumerate(zip(fill(pictures, 3), CAPTIONS, strict=True), 1)
    ]
    table = "".join(json.dumps(row) + "\n" for row in rows)
    (pictures / "metadata.jsonl").write_text(table, encoding="utf-8")
    (pictures / "notes.md").write_text(NOTES, encoding="utf-8")
    (pictures / "manual.pdf").write_bytes(media.pdf(_draw_manual))
    fill(folder / "private", 1, start=10)
    settings = load_settings(
        data_dir=folder / "data",
        database__url=make_conninfo(postgres_dsn, dbname=_DATABASE),
        encoder__model=f"local-dir:{random_clip.write(folder / 'random-clip')}",
        encoder__threads=1,
        ingest__workers=1,
        ingest__ocr="off",
        startup_timeout_seconds=200,
        http__port=0,
    )
    for path, collection in ((pictures, ALBUM), (folder / "private", "private")):
        asyncio.run(ingest_paths(settings, [path], collection, lambda _: None))
    return settings


@pytest.fixture(scope="session")
def local(installation: Settings) -> Iterator[Sightline]:
    """Open the database in this process."""
    with Sightline(settings=installation) as sightline:
        yield sightline


@pytest.fixture(scope="session")
def server(installation: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server whose principal alice sees the album only."""
    issued = {name: static_tokens.issue_token(name, ["read"]) for name in ("alice", "boss")}
    tokens_file = tmp_path_factory.mktemp("server") / "tokens"
    tokens_file.write_text("\n".join(str(stored) for _, stored in issued.values()))
    tokens_file.chmod(0o600)
    settings = installation.replace(auth__tokens_file=tokens_file)
    asyncio.run(_bind(settings))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(start_http_server(settings)) as (url, _),
    ):
        yield Server(url, {name: secret for name, (secret, _) in issued.items()})


@pytest.fixture(scope="session")
def remote(server: Server) -> Iterator[Sightline]:
    """Connect to the server as alice."""
    with Sightline(server.url, token=server.tokens["alice"]) as sightline:
        yield sightline


@pytest.fixture(params=["local", "remote"])
def sightline(request: pytest.FixtureRequest) -> Sightline:
    """Return a client of the database and one of the server."""
    client: Sightline = request.getfixturevalue(request.param)
    return client


async def _bind(settings: Settings) -> None:
    assert settings.database.url is not None
    database = await Database.open(settings.database.url.get_secret_value())
    try:
        async with database.connection() as connection:
            await row_security.bind(connection, "alice", [ALBUM])
            await row_security.bind_to_all_collections(connection, "boss")
    finally:
        await database.close()
