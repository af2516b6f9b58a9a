"""A running HTTP server with one picture in its database."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psycopg
from PIL import Image

from sightline.server.auth import static_tokens
from sightline.server.http.http_server import RunningServer, start_http_server
from sightline.storage.db.pool import Database
from sightline.storage.records import annotations, collections
from sightline.storage.records.annotations import NewAnnotation
from tests.support.database_rows import add_asset
from tests.support.sample_images import encoded, picture
from tests.support.settings import make_settings

ASSET = "picture00001"
SIZE = (640, 480)


@dataclass(frozen=True)
class PictureServer:
    """The server, and a client that sends the token ``ann``, which has the scope ``read``."""

    base_url: str
    running: RunningServer
    http: httpx2.AsyncClient
    database: Database
    dsn: str
    tokens: dict[str, str]

    async def get(self, path: str = "", **options: object) -> httpx2.Response:
        """Request the picture, or a path below it."""
        return await self.http.get(f"{self.base_url}/assets/{ASSET}{path}", **options)  # type: ignore[arg-type]

    async def annotate(self, label: str) -> None:
        async with self.database.write_connection() as connection:
            box = NewAnnotation(label=label, box=(0.1, 0.1, 0.9, 0.9), origin="person")
            await annotations.save(connection, ASSET, [box])

    @asynccontextmanager
    async def locked_assets(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Make every request for a picture wait for the time of the block."""
        async with await psycopg.AsyncConnection.connect(self.dsn) as connection:
            await connection.execute("LOCK TABLE sightline.asset IN ACCESS EXCLUSIVE MODE")
            yield connection

    async def until_waiting(self, locked: psycopg.AsyncConnection, count: int = 1) -> None:
        """Return when so many requests wait for the lock."""
        statement = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        while True:
            cursor = await locked.execute(statement, ["sightline.asset"])
            if await cursor.fetchone() == (count,):
                return
            await asyncio.sleep(0.005)


def size_of(response: httpx2.Response) -> tuple[int, int]:
    """Return the size of a picture; it must be a JPEG."""
    assert response.status_code == 200, response.text
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.format == "JPEG"
        return image.size


@asynccontextmanager
async def open_picture_server(
    tmp_path: Path, database: Database, dsn: str, **overrides: object
) -> AsyncIterator[PictureServer]:
    """Run a server with a picture; ``overrides`` are settings."""
    file = tmp_path / "picture.png"
    file.write_bytes(encoded(picture(1, SIZE), "PNG"))
    async with database.write_connection() as connection:
        album = await collections.ensure(connection, "album")
        sha256 = hashlib.sha256(file.read_bytes()).digest()
        await add_asset(connection, album, ASSET, location=f"file:{file}", sha256=sha256)
    issued = {
        name: static_tokens.issue_token(name, scopes)
        for name, scopes in (("ann", ["read", "metrics"]), ("walt", ["write"]))
    }
    settings = make_settings(
        tmp_path,
        database__url=dsn,
        tokens="\n".join(str(stored) for _, stored in issued.values()),
        **overrides,
    )
    tokens = {name: secret for name, (secret, _) in issued.items()}
    headers = {"Authorization": f"Bearer {tokens['ann']}"}
    async with (
        start_http_server(settings) as (url, running),
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
    ):
        base_url = url.removesuffix("/mcp")
        yield PictureServer(base_url, running, http, database, dsn, tokens)
