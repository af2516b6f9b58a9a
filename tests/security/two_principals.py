"""A real HTTP server with two bound principals, for the tests of this folder.

alice sees the collection ``lighthouse``, bob sees ``submarine``, boss sees everything. nil has a
token and no binding. carol is like nil; a test may bind her. Each collection has three images with
captions and metadata, a document, and an annotation on its first image.

The server runs in a thread with its own event loop, so a test may use it from any loop.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent
from psycopg import sql

from sightline.server.auth import static_tokens
from sightline.server.auth.scopes import SCOPES
from sightline.server.config import load_settings
from sightline.server.database import schema_migration
from sightline.server.http.http_server import RunningServer, start_http_server
from sightline.server.runtime import Runtime
from sightline.storage.db import row_security
from sightline.storage.postgres import EmbeddedPostgres
from tests.support import ordinary_role
from tests.support.results import json_of
from tests.support.sample_images import fill
from tests.support.token_issuer import AUDIENCE, Issuer, RsaKey, run_issuer

ALICE, BOB = "lighthouse", "submarine"
COLLECTIONS = {"alice": ALICE, "bob": BOB}
PRINCIPALS = ("alice", "bob", "boss", "nil", "carol")
#: Words that occur only in the material of one principal, the name of its collection included.
WORDS = {
    "alice": (ALICE, "lantern", "metres", "foghorn", "lamp"),
    "bob": (BOB, "periscope", "fathoms", "torpedo", "Umbrapho"),
}
IMAGES = 3

_T = TypeVar("_T")


@dataclass(frozen=True)
class House:
    """The running server, its tokens and what both principals own."""

    url: str
    tokens: dict[str, str]
    folder: Path
    #: Ids of the images of each collection.
    assets: dict[str, list[str]]
    #: Ids of the annotation on the first image of each collection.
    annotations: dict[str, str]
    #: Connection string of the owner of the tables.
    dsn: str
    #: Signs the JSON Web Tokens that the server accepts.
    jwt_key: RsaKey
    running: RunningServer = field(repr=False)
    _portal: BlockingPortal = field(repr=False)

    @property
    def base_url(self) -> str:
        return self.url.removesuffix("/mcp")

    @property
    def runtime(self) -> Runtime:
        assert self.running.app.runtime is not None
        return self.running.app.runtime

    def client(self, who: str, mode: str = "auto") -> AbstractAsyncContextManager[Client]:
        """Return an MCP client with the token of a principal."""
        return connected(self.url, self.tokens[who], mode)

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    def run(self, function: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:
        """Run a coroutine function in the server's event loop, as the server itself."""
        return self._portal.call(function, *arguments)

    def bind(self, name: str, collections: list[str] | None) -> None:
        """Bind a principal, effective at once; None binds it to all collections."""

        async def bind() -> None:
            database = await self.runtime.database.get()
            async with database.connection() as connection:
                if collections is None:
                    await row_security.bind_to_all_collections(connection, name)
                else:
                    await row_security.bind(connection, name, collections)
            self.runtime.principal_cache.sees_everything.clear()

        self.run(bind)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that the owner of the tables runs."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(statement), parameters)
            return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def connected(url: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """Connect an MCP client with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def album(folder: Path, name: str, words: str, key: str, start: int = 0) -> Path:
    """Write three images whose captions and metadata name their owner."""
    rows = [
        {"file_name": path.name, "text": f"{words} number {number}", key: number}
        for number, path in enumerate(fill(folder / name, IMAGES, start))
    ]
    table = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name / "metadata.jsonl").write_text(table)
    return folder / name


def upload(name: str, data: bytes) -> dict[str, str]:
    """Return a file as the argument of ``add_images``."""
    return {"name": name, "data": base64.b64encode(data).decode()}


async def call(client: Client, tool: str, **arguments: Any) -> str:
    """Return the structured result as JSON or the text of an error, without times."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        return "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    return json.dumps({k: v for k, v in json_of(result).items() if k != "timings_ms"})


async def call_json(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the result of a call that must succeed."""
    return json_of(await client.call_tool(tool, arguments))


async def read(client: Client, uri: str) -> str:
    """Return a resource, or the text of the error."""
    try:
        return str(await client.read_resource(uri))
    except MCPError as error:
        return str(error)


@contextmanager
def open_house(folder: Path, encoder_folder: Path, **overrides: object) -> Iterator[House]:
    """Run a server with its own embedded Postgres; ``overrides`` are settings."""
    data = folder / "data"
    data.mkdir(parents=True)
    with (
        EmbeddedPostgres(data, durable=False) as postgres,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            _serve(folder, data, encoder_folder, postgres, portal, overrides)
        ) as house,
    ):
        yield house


@asynccontextmanager
async def _serve(
    folder: Path,
    data: Path,
    encoder_folder: Path,
    postgres: EmbeddedPostgres,
    portal: BlockingPortal,
    overrides: dict[str, object],
) -> AsyncIterator[House]:
    material = folder / "material"
    album(material, ALICE, "a lantern above the bay", "metres")
    album(material, BOB, "a periscope beside a torpedo", "fathoms", start=20)
    (material / ALICE / "log.md").write_text("The foghorn was replaced in spring.\n")
    (material / BOB / "log.md").write_text("Umbrapho is offered for six million.\n")
    scopes = {name: SCOPES if name == "boss" else SCOPES[:-1] for name in PRINCIPALS}
    issued = {name: static_tokens.issue_token(name, each) for name, each in scopes.items()}
    tokens_file = folder / "tokens"
    tokens_file.write_text("\n".join(str(kept) for _, kept in issued.values()))
    tokens_file.chmod(0o600)
    defaults: dict[str, object] = {
        "data_dir": data,
        "encoder__model": f"local-dir:{encoder_folder}",
        "encoder__threads": 1,
        "allowed_roots": (material,),
        "ingest__workers": 1,
        "startup_timeout_seconds": 200,
        "analytics__enabled": True,
        "auth__tokens_file": tokens_file,
        "http__port": 0,
        "rate_limit__max_calls_per_minute": 0,
    }
    dsn = postgres.dsn()
    if ordinary_role.is_requested():  # whose `query_sql` has one login for all principals
        ordinary_role.create_owner(dsn)
        dsn = ordinary_role.create_owned_database(dsn, "house")
        schema_migration.upgrade(dsn)
        defaults |= {"database__url": dsn, "analytics__enabled": False}
    key = RsaKey("house")
    async with (
        run_issuer(key) as issuer,
        start_http_server(load_settings(**(defaults | _jwt_settings(issuer) | overrides))) as (
            url,
            running,
        ),
    ):
        tokens = {name: secret for name, (secret, _) in issued.items()}
        assets: dict[str, list[str]] = {}
        annotations: dict[str, str] = {}
        async with connected(url, tokens["boss"]) as boss:  # no binding exists yet
            for name, label in ((ALICE, "lamp"), (BOB, "torpedo")):
                added = await call_json(
                    boss, "add_images", collection=name, paths=[str(material / name)]
                )
                assert (added["added"], added["failed"]) == (IMAGES + 1, 0), added
                found = await call_json(boss, "search_images", query="number", collection=name)
                assets[name] = [hit["asset"] for hit in found["hits"]][:IMAGES]
                saved = await call_json(
                    boss,
                    "save_annotation",
                    asset=assets[name][0],
                    boxes=[{"box": [0, 0, 1, 1], "label": label}],
                    origin="person",
                )
                annotations[name] = saved["uris"][0].rpartition("/")[2]
        house = House(url, tokens, material, assets, annotations, dsn, key, running, portal)
        database = await house.runtime.database.get()
        async with database.connection() as connection:
            await row_security.bind(connection, "alice", [ALICE])
            await row_security.bind(connection, "bob", [BOB])
            await row_security.bind_to_all_collections(connection, "boss")
        house.runtime.principal_cache.sees_everything.clear()
        yield house


def _jwt_settings(issuer: Issuer) -> dict[str, object]:
    return {
        "auth__jwt__issuer": issuer.name,
        "auth__jwt__jwks_url": issuer.url,
        "auth__jwt__audience": AUDIENCE,
    }
