"""Fixtures: an ingested album on real servers, and a real browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect, sync_playwright
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.server.auth import static_tokens
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings, load_settings
from sightline.server.http.http_server import start_http_server
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.training.world.export import export
from tests.support import browser
from tests.support.sample_images import fill

_DATABASE = "web_album"
ALBUM, PRIVATE = "album", "private"
PICTURES = 16
#: What a hostile file says; the page must show it as text.
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@dataclass(frozen=True)
class WebServer:
    """A running server: the address of its page, its settings, and tokens by name."""

    url: str
    settings: Settings
    tokens: dict[str, str]


@dataclass(frozen=True)
class Album:
    """Ingested pictures: file name and caption, in the order of ingest."""

    settings: Settings
    captions: dict[str, str]


@pytest.fixture(scope="session")
def album(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Ingest drawn pictures with captions, a hostile one and a private one."""
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("web")))
    names = {"name": sql.Identifier(_DATABASE), "template": sql.Identifier(_template)}
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
    world = folder / "world"
    export(world, split="test", count=PICTURES, seed=7, workers=0)
    for extra in ("instances.json", "questions.jsonl"):
        (world / extra).unlink(missing_ok=True)
    rows = [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()]
    hostile = fill(folder / "hostile", 1, start=99)[0]
    (folder / "hostile" / "metadata.jsonl").write_text(
        json.dumps({"file_name": hostile.name, "text": f"hostile caption {HOSTILE}"}) + "\n"
    )
    fill(folder / "private", 1, start=50)
    settings = load_settings(
        data_dir=folder / "data",
        database__url=make_conninfo(postgres_dsn, dbname=_DATABASE),
        encoder__threads=1,
        ingest__workers=1,
        ingest__ocr="off",
        vlm__model="builtin",
        startup_timeout_seconds=200,
        http__port=0,
    )
    added = ((world, ALBUM), (folder / "hostile", ALBUM), (folder / "private", PRIVATE))
    # A portal, because Playwright runs a loop in this thread.
    with start_blocking_portal() as portal:
        for path, collection in added:
            portal.call(ingest_paths, settings, [path], collection, lambda _: None)
    return Album(settings, {Path(row["file_name"]).name: row["caption"] for row in rows})


@pytest.fixture(scope="session")
def web(album: Album) -> Iterator[WebServer]:
    """Run a server without tokens."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(start_http_server(album.settings)) as (url, _),
    ):
        yield WebServer(url.removesuffix("mcp"), album.settings, {})


@pytest.fixture(scope="session")
def guarded(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Run a server with tokens; ann sees one collection only."""
    issued = {name: static_tokens.issue_token(name, ["read"]) for name in ("ann", "boss")}
    tokens_file = tmp_path_factory.mktemp("web-tokens") / "tokens"
    tokens_file.write_text("\n".join(str(stored) for _, stored in issued.values()))
    tokens_file.chmod(0o600)
    settings = album.settings.replace(auth__tokens_file=tokens_file)
    with start_blocking_portal() as portal:
        portal.call(_bind, settings)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(start_http_server(settings)) as (url, _),
    ):
        tokens = {name: secret for name, (secret, _) in issued.items()}
        yield WebServer(url.removesuffix("mcp"), settings, tokens)


async def _bind(settings: Settings) -> None:
    assert settings.database.url is not None
    database = await Database.open(settings.database.url.get_secret_value())
    try:
        async with database.connection() as connection:
            await row_security.bind(connection, "ann", [PRIVATE])
            await row_security.bind_to_all_collections(connection, "boss")
    finally:
        await database.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run Chromium; skip if there is none.

    Its scope is a module, because tests of asyncio cannot run in this thread meanwhile.
    """
    if browser.PROGRAM is None:
        pytest.skip("needs Chromium")
    expect.set_options(timeout=60_000)  # the first call waits for the models
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser.PROGRAM, args=[*browser.FLAGS])
        yield opened
        opened.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of its own; errors of the page fail the test."""
    contexts, errors = [], []

    def open_(url: str, *, width: int = 1280, height: int = 900, locale: str = "en-US") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            locale=locale,
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []
