"""Measure the web app in Chromium: size, time to the first picture, frames while scrolling.

    python -m benchmarks web_app

The baselines are a plain page with the same thumbnails as ``<img>``, and frames at rest.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from functools import partial

from playwright.async_api import BrowserContext, Page, Route

from benchmarks.tables import Durations, max_verdict, print_table
from benchmarks.web_server import ALBUM, AlbumServer, album_server, chromium
from sightline.server.database.provider import open_database
from sightline.server.web.web_pages import FILES, browser_page, gzipped_file, read_file
from tests.support import many_assets

_MAX_BUNDLE_BYTES = 300_000
_LARGE = "large"
_SHOWN = 12
#: Frames of scrolling per run, and pixels of one frame: 6,000 pixels per second.
_FRAMES = 240
_STEP_PIXELS = 100
#: A frame of more than this is visible as a hitch.
_HITCH_SECONDS = 0.05

# Notes when the first picture has been loaded; such an event reaches the document, not the window.
_FIRST_PICTURE = """
document.addEventListener("load", event => {
    if (event.target instanceof HTMLImageElement && event.target.naturalWidth > 1)
        window.firstPicture ??= performance.now();
}, true);
"""
_LOADED = """() => {
    const until = window.firstPicture;
    const entries = [...performance.getEntriesByType("navigation"),
        ...performance.getEntriesByType("resource")].filter(each => each.responseEnd <= until);
    return { seconds: until / 1000, requests: entries.length,
        bytes: entries.reduce((sum, each) => sum + each.transferSize, 0) };
}"""
_SCROLL = """([frames, step]) => new Promise(done => {
    const deltas = [];
    let last;
    const next = now => {
        if (last !== undefined) deltas.push((now - last) / 1000);
        last = now;
        if (deltas.length === frames) { done(deltas); return; }
        scrollBy(0, step);
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
})"""
_RESULTS = "() => parseInt(document.querySelector('.status p').textContent)"


@dataclass(frozen=True, slots=True)
class _FirstPicture:
    seconds: float
    requests: int
    bytes: int


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    _print_bundle()
    async with album_server(options.pictures) as server:
        await _add_copies(server, options.copies)
        await _measure_first_picture(server, options.runs)
        await _measure_scrolling(server, options.results)


def _print_bundle() -> None:
    sizes = {name: (len(read_file(name)), len(gzipped_file(name))) for name in FILES}
    rows = [(name, str(whole), str(gzipped)) for name, (whole, gzipped) in sizes.items()]
    print_table("Bundle, bytes", ("", "whole", "gzip"), rows)
    total = sum(gzipped for _, gzipped in sizes.values())
    print(f"  gzip, relative to {_MAX_BUNDLE_BYTES:,} bytes: ", end="")
    print(max_verdict(total / _MAX_BUNDLE_BYTES, 1))
    print(f"  the page itself: {len(browser_page(takes_token=True))} bytes")


async def _add_copies(server: AlbumServer, count: int) -> None:
    """Add a collection with ``count`` pictures, which have thumbnails of the album."""
    async with open_database(server.settings) as database:
        async with database.connection() as connection:
            cursor = await connection.execute("SELECT jpeg, width, height FROM thumbnail LIMIT 1")
            row = await cursor.fetchone()
        assert row is not None
        jpeg, width, height = row
        add = partial(many_assets.add_copies, like=ALBUM, name=_LARGE, count=count)
        await asyncio.to_thread(add, database.dsn, thumbnail=jpeg, size=(width, height))


async def _measure_first_picture(server: AlbumServer, runs: int) -> None:
    address = f"{server.url}#/search?list=1&collection={ALBUM}"
    shown = await _shown_assets(address)
    found: dict[str, list[_FirstPicture]] = {"app": [], "app, again": [], "plain page": []}
    for _ in range(runs):
        async with chromium(1280, 800) as context:
            await context.add_init_script(_FIRST_PICTURE)
            found["app"].append(await _first_picture(context, address))
            found["app, again"].append(await _first_picture(context, address))
        async with chromium(1280, 800) as context:
            await context.add_init_script(_FIRST_PICTURE)
            await context.route("**/plain", partial(_answer_plain, shown=shown))
            found["plain page"].append(await _first_picture(context, f"{server.url}plain"))
    rows = [
        (name, *Durations(tuple(each.seconds for each in values)).cells,
         str(values[0].requests), str(values[0].bytes))
        for name, values in found.items()
    ]  # fmt: skip
    columns = ("", "p50 ms", "p95 ms", "requests", "bytes")
    print_table(f"Until the first picture is shown ({runs} runs)", columns, rows)


async def _first_picture(context: BrowserContext, address: str) -> _FirstPicture:
    page = await context.new_page()
    await page.goto(address)
    await page.wait_for_function("() => window.firstPicture !== undefined")
    values = await page.evaluate(_LOADED)
    await page.close()
    return _FirstPicture(**values)


async def _shown_assets(address: str) -> list[str]:
    """Return the assets that the app shows first."""
    async with chromium(1280, 800) as context:
        page = await context.new_page()
        await page.goto(address)
        await page.locator("a.thumb").nth(_SHOWN - 1).wait_for()
        links = await page.locator("a.thumb").evaluate_all("links => links.map(each => each.hash)")
    return [link.split("asset=")[1].split("&")[0] for link in links[:_SHOWN]]


async def _answer_plain(route: Route, shown: list[str]) -> None:
    pictures = "".join(f'<img src="assets/{each}/thumbnail">' for each in shown)
    await route.fulfill(body=f"<!doctype html>{pictures}", content_type="text/html")


async def _measure_scrolling(server: AlbumServer, results: int) -> None:
    async with chromium(1280, 800) as context:
        page = await context.new_page()
        await page.goto(f"{server.url}#/search?list=1&collection={_LARGE}")
        await page.locator(".card img").first.wait_for()
        resting = await _frames(page, 0)
        loading = await _frames(page, _STEP_PIXELS)  # pages of results are loaded meanwhile
        while await page.evaluate(_RESULTS) < results:
            before = await page.evaluate(_RESULTS)
            await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            await page.wait_for_function(f"before => ({_RESULTS})() > before", arg=before)
        count = await page.evaluate(_RESULTS)
        await page.evaluate("scrollTo(0, 0)")
        await page.locator(".card img").first.wait_for()
        loaded = await _frames(page, _STEP_PIXELS)
        cells = await page.locator(".cell").count()
    rows = [
        _frame_row("at rest", resting),
        _frame_row("scrolling, while results are loaded", loading),
        _frame_row(f"scrolling through {count:,} results", loaded),
    ]
    columns = ("", "p50 ms", "p95 ms", "longest", f"over {1000 * _HITCH_SECONDS:.0f} ms")
    print_table(f"Frames ({_FRAMES} each, {_STEP_PIXELS} pixels per frame)", columns, rows)
    print(f"  cells in the page: {cells}")


async def _frames(page: Page, step: int) -> Durations:
    """Return the time from each frame to the next while the page scrolls."""
    return Durations(tuple(await page.evaluate(_SCROLL, [_FRAMES, step])))


def _frame_row(name: str, frames: Durations) -> tuple[str, ...]:
    hitches = sum(each > _HITCH_SECONDS for each in frames.seconds)
    return (name, *frames.cells, f"{1000 * max(frames.seconds):.0f}", str(hitches))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks web_app")
    parser.add_argument("--pictures", type=int, default=48, help="drawn pictures")
    parser.add_argument("--copies", type=int, default=20_000, help="pictures of the large list")
    parser.add_argument("--results", type=int, default=1_000, help="results to scroll through")
    parser.add_argument("--runs", type=int, default=10, help="starts of the browser")
    return parser.parse_args(arguments)
