"""Files that a person drops on the page, also with hostile names."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from zlib import crc32

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.conftest import Album, WebServer
from tests.support.sample_images import jpeg

OpenPage = Callable[..., Page]
_TRANSFER = """files => {
    const transfer = new DataTransfer();
    for (const [name, data] of Object.entries(files)) {
        const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    }
    return transfer;
}"""


def _drop(page: Page, selector: str, files: Mapping[str, bytes]) -> None:
    """Drop files on an element, as the file manager of a desktop does."""
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    transfer = page.evaluate_handle(_TRANSFER, encoded)
    page.dispatch_event(selector, "dragover", {"dataTransfer": transfer})
    page.dispatch_event(selector, "drop", {"dataTransfer": transfer})


def test_dropped_files_are_added(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(f"{web.url}#/manage")
    page.get_by_label("Into collection").fill("by-drop")
    _drop(page, ".drop", {"one.jpg": jpeg(801), "same.jpg": jpeg(801), "bad.jpg": b"nothing"})
    expect(page.locator(".notice")).to_contain_text("1 added, 1 known, 1 failed")
    expect(page.locator(".failures li")).to_have_count(1)
    expect(page.locator(".failures")).to_contain_text("bad.jpg")
    card = page.locator(".collections .card", has=page.get_by_role("heading", name="by-drop"))
    card.get_by_role("link", name="Show").click()
    expect(page.locator(".card .file")).to_have_text(["one.jpg"])


def test_a_picture_dropped_anywhere_is_searched_by(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    name = [*album.captions][5]
    (picture,) = (album.settings.data_dir.parent / "world").rglob(name)
    page = open_page(web.url)
    expect(page.get_by_role("searchbox")).to_be_visible()
    _drop(page, "body", {"mine.jpg": picture.read_bytes()})
    expect(page.get_by_text("Searching by this picture")).to_be_visible()
    expect(page.locator(".card .file").first).to_have_text(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<img src=x onerror=alert(1)>.jpg", "<img src=x onerror=alert(1)>.jpg"),
        ('"onload=alert(1) x=".jpg', '"onload=alert(1) x=".jpg'),
        ("../../../outside.jpg", "outside.jpg"),
        ("javascript:alert(1).jpg", "javascript:alert(1).jpg"),
        ("{name} $& %2e%2e #hash?query.jpg", "{name} $& %2e%2e #hash?query.jpg"),
    ],
)
def test_a_hostile_name_is_only_a_name(
    web: WebServer, open_page: OpenPage, name: str, shown: str
) -> None:
    number = crc32(name.encode()) % 10_000
    collection = f"names-{number}"
    page = open_page(f"{web.url}#/manage")
    page.get_by_label("Into collection").fill(collection)
    _drop(page, ".drop", {name: jpeg(number), f"{name}.broken.jpg": b"nothing"})
    expect(page.locator(".notice")).to_contain_text("1 added")
    expect(page.locator(".failures strong")).to_have_text(f"{name}.broken.jpg")
    page.goto(f"{web.url}#/search?list=1&collection={collection}")
    expect(page.locator(".card .file")).to_have_text(shown)
    page.locator(".card a.thumb").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shown)
    expect(page.locator("img.whole")).to_be_visible()
    assert page.locator("img[src='x']").count() == 0
