"""A collection of 20,000 pictures in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.conftest import ALBUM, Album, WebServer
from tests.support import many_assets
from tests.support.sample_images import encoded, picture

_PICTURES = 20_000
_LARGE = "large"
_MAX_CELLS = 200
_SCROLLED_TO = 1_000


@pytest.fixture(scope="module")
def large(album: Album) -> Iterator[str]:
    """Add the collection and return its name; remove it at the end."""
    assert album.settings.database.url is not None
    dsn = album.settings.database.url.get_secret_value()
    shown = picture(1)
    shown.thumbnail((96, 96))
    many_assets.add_copies(
        dsn, like=ALBUM, name=_LARGE, count=_PICTURES, thumbnail=encoded(shown), size=shown.size
    )
    yield _LARGE
    many_assets.remove(dsn, _LARGE)


@pytest.mark.slow
def test_the_list_scrolls_through_pages_with_few_elements(
    web: WebServer, large: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{web.url}#/search?list=1&collection={large}")
    status = page.locator(".status")
    expect(status).to_contain_text(f"40 of {_PICTURES}")
    expect(page.locator(".card .file").first).to_have_text("copy-1.jpg")
    loaded, cells = 40, []
    while loaded < _SCROLLED_TO:
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_function(
            "loaded => parseInt(document.querySelector('.status p').textContent) > loaded",
            arg=loaded,
        )
        loaded = int(status.inner_text().split()[0])
        cells.append(page.locator(".cell").count())
    assert max(cells) < _MAX_CELLS
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    # In order, without a gap and without a repetition.
    last = page.locator(".card .file").last
    expect(last).to_have_text(f"copy-{int(status.inner_text().split()[0])}.jpg")
    shown = page.locator(".card .file").all_inner_texts()
    numbers = [int(name[5:-4]) for name in shown]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    expect(page.locator(".card img").last).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator(".card .file").first).to_have_text("copy-1.jpg")
    assert page.locator(".cell").count() < _MAX_CELLS
    expect(page.locator(".notice")).to_be_empty()
