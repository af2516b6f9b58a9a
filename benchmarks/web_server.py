"""The web app on a synthetic album, in Chromium: for the benchmark and the screenshots."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, async_playwright

from benchmarks import environment
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings
from sightline.server.http.http_server import start_http_server
from sightline.training.world.export import export
from tests.support import browser

ALBUM = "album"
_SEED = 7


@dataclass(frozen=True, slots=True)
class AlbumServer:
    """A running server: the address of its page, its settings, and the folder of the album."""

    url: str
    settings: Settings
    folder: Path

    @property
    def questions(self) -> Path:
        """The file with questions and answers about the pictures."""
        return self.folder.with_name("questions.jsonl")


@asynccontextmanager
async def album_server(pictures: int, **options: Any) -> AsyncIterator[AlbumServer]:
    """Draw and ingest pictures of the test split, and serve them."""
    with environment.temporary_settings(vlm__model="builtin", **options) as settings:
        folder = settings.data_dir.parent / "world"
        export(folder, split="test", count=pictures, seed=_SEED, workers=2)
        # Ground truth is not material.
        for name in ("instances.json", "questions.jsonl"):
            (folder / name).rename(folder.with_name(name))
        await ingest_paths(settings, [folder], ALBUM, lambda _: None)
        async with start_http_server(settings) as (url, _):
            yield AlbumServer(url.removesuffix("mcp"), settings, folder)


@asynccontextmanager
async def chromium(width: int, height: int) -> AsyncIterator[BrowserContext]:
    """Run a browser with a light theme and an empty cache."""
    if browser.PROGRAM is None:
        sys.exit("this needs Chromium: install the package `chromium` of your system")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=browser.PROGRAM, args=[*browser.FLAGS]
        )
        try:
            yield await opened.new_context(
                viewport={"width": width, "height": height}, color_scheme="light", locale="en-US"
            )
        finally:
            await opened.close()
