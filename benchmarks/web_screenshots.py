"""Write pictures of each view of the web app for the documentation.

    python -m benchmarks web_screenshots -- docs/images/web

The album is synthetic. Look at each picture before you commit it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Page, Route

from benchmarks.web_server import ALBUM, AlbumServer, album_server, chromium
from sightline.storage.files import write_private
from tests.support import chat_host

_SIZE = (1280, 800)
_MAX_BYTES = 150_000
_QUALITIES = (90, 85, 80, 70, 60, 50)
_QUERY = "a red bus at night in front of a bookshop"
_ALL_LOADED = """() => document.querySelectorAll(".placeholder").length === 0
    && [...document.images].every(each => each.complete && each.naturalWidth > 0)"""
_CHAT = """<!doctype html><meta charset="utf-8"><style>
body { font: 15px system-ui, sans-serif; margin: 16px auto; width: 1002px; background: #f6f5f2 }
p { background: #e3e1da; border-radius: 12px; padding: 10px 14px; width: fit-content;
    margin: 0 0 12px auto }
iframe { border: 1px solid #ccc; border-radius: 12px; background: white }
</style><p>Find buses at night.</p><script type="module" src="host.js"></script>"""


@dataclass(frozen=True, slots=True)
class _Camera:
    """Opens views and writes their pictures."""

    server: AlbumServer
    page: Page
    folder: Path

    async def open(self, fragment: str) -> None:
        await self.page.goto(f"{self.server.url}{fragment}")
        await self.page.reload()
        await self.page.locator("main > *").first.wait_for()

    async def take(self, name: str) -> None:
        """Write NAME.webp of at most `_MAX_BYTES`, when everything is loaded."""
        await self.page.wait_for_function(_ALL_LOADED)
        picture = Image.open(io.BytesIO(await self.page.screenshot()))
        for quality in _QUALITIES:
            file = io.BytesIO()
            picture.save(file, "WEBP", quality=quality, method=6)
            if file.tell() <= _MAX_BYTES:
                break
        write_private(self.folder / f"{name}.webp", file.getvalue())
        (self.folder / f"{name}.webp").chmod(0o644)
        print(f"  {name}.webp: {file.tell()} bytes")


async def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="benchmarks web_screenshots")
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument("--pictures", type=int, default=90, help="drawn pictures")
    parser.add_argument("--only", nargs="+", choices=_VIEWS, default=[*_VIEWS], metavar="VIEW")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    async with (
        album_server(options.pictures, ingest__ocr="auto") as server,
        chromium(*_SIZE) as context,
    ):
        camera = _Camera(server, await context.new_page(), options.folder)
        for name in options.only:
            await _VIEWS[name](camera)


async def _take_search(camera: _Camera) -> None:
    await camera.open(f"#/search?q={_QUERY.replace(' ', '+')}&collection={ALBUM}&list=1")
    await camera.page.locator(".card").first.wait_for()
    await camera.take("search")


async def _open_first(camera: _Camera, query: str) -> None:
    """Open the first result of a search."""
    await camera.open(f"#/search?q={query.replace(' ', '+')}&collection={ALBUM}&list=1")
    await camera.page.locator("a.thumb").first.click()
    await camera.page.locator("img.whole").wait_for()


async def _take_view(camera: _Camera) -> None:
    page = camera.page
    await _open_first(camera, _QUERY)
    field = page.get_by_placeholder("An object")
    await field.fill("bus")
    await field.press("Enter")
    await page.locator(".frame.match .label").first.wait_for()
    await page.mouse.move(1, 1)
    await camera.take("view")


async def _take_mark(camera: _Camera) -> None:
    page = camera.page
    await _open_first(camera, "a street with vehicles")
    canvas = await page.locator(".canvas").bounding_box()
    if canvas is None:
        raise RuntimeError("the viewer shows no picture")

    def at(x: float, y: float) -> tuple[float, float]:
        return canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"]

    for label, (x0, y0, x1, y1) in (
        ("truck", (0.09, 0.54, 0.52, 0.84)),
        ("clock", (0.68, 0.1, 0.89, 0.38)),
    ):
        await page.get_by_role("button", name="Draw a box").click()
        await page.mouse.move(*at(x0, y0))
        await page.mouse.down()
        await page.mouse.move(*at(x1, y1), steps=4)
        await page.mouse.up()
        await page.get_by_label("Label").last.fill(label)
    await camera.take("mark")


async def _take_ask(camera: _Camera) -> None:
    page = camera.page
    for question, picture in _questions(camera.server):
        asset = await _asset_of(camera, picture)
        if asset is None:
            continue
        await camera.open(f"#/ask?asset={asset}")
        await page.get_by_placeholder("How many vans").fill(question)
        await page.get_by_role("button", name="Ask", exact=True).click()
        await page.locator(".answer").first.wait_for()
        supported = page.locator(".claims > li.supported")
        if await supported.count() and await page.locator(".claim-picture").count():
            await camera.take("ask")
            return
    raise RuntimeError("no question has a supported answer with a picture")


def _questions(server: AlbumServer) -> list[tuple[str, str]]:
    """Return English questions that the built-in model answers well, with their files."""
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in server.questions.read_text(encoding="utf-8").splitlines()
    ]
    return [
        (row["question"], row["file_name"].rsplit("/", 1)[-1])
        for row in rows
        if row["kind"] == "count" and row["language"] == "en"
    ][:40]


async def _asset_of(camera: _Camera, file_name: str) -> str | None:
    """Return the asset of a file, from the link in the list of the collection."""
    await camera.open(f"#/search?q={file_name}&collection={ALBUM}&list=1")
    card = camera.page.locator(".card", has_text=file_name).first
    await camera.page.locator(".card").first.wait_for()
    if not await card.count():
        return None
    link = await card.locator("a.thumb").get_attribute("href")
    return (link or "").split("asset=")[1].split("&")[0]


async def _take_library(camera: _Camera) -> None:
    await camera.open("#/manage")
    await camera.page.locator(".collections .card").first.wait_for()
    await camera.take("library")


async def _take_chat(camera: _Camera) -> None:
    if not chat_host.CAN_BUILD:
        print("  chat.webp: skipped, needs the npm packages of the web app: make web")
        return
    with tempfile.TemporaryDirectory(prefix="sightline-host-") as folder:
        script = await asyncio.to_thread(chat_host.build, Path(folder))

    async def answer(route: Route) -> None:
        if route.request.url.endswith("/host.js"):
            await route.fulfill(body=script, content_type="text/javascript")
        else:
            await route.fulfill(body=_CHAT, content_type="text/html")

    page = camera.page
    await page.route("**/chat/*", answer)
    await page.goto(f"{camera.server.url}chat/index.html")
    await page.wait_for_function("window.host !== undefined")
    arguments = {"query": "a bus at night", "limit": 6, "collection": ALBUM}
    await page.evaluate(
        "args => { host.theme = 'light'; return host.show('search_images', args); }", arguments
    )
    app = page.frame_locator("iframe")
    await app.locator(".chat-hits img").nth(5).wait_for()
    for number in range(2):
        await app.get_by_role("checkbox").nth(number).check()
    await camera.take("chat")


_VIEWS: dict[str, Callable[[_Camera], Awaitable[None]]] = {
    "search": _take_search,
    "view": _take_view,
    "mark": _take_mark,
    "ask": _take_ask,
    "library": _take_library,
    "chat": _take_chat,
}
