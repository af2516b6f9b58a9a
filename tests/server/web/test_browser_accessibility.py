"""No view has a serious fault of accessibility, in light and dark, by axe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sightline.server import web as web_package
from tests.server.web.conftest import Album, WebServer
from tests.server.web.test_browser_viewer import asset_of

_AXE = Path(web_package.__file__).resolve().parent / "app/node_modules/axe-core/axe.min.js"

pytestmark = pytest.mark.skipif(
    not _AXE.is_file(), reason="needs the npm packages of the web app: make web"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["search", "view", "ask", "atlas", "manage"])
def test_axe_finds_nothing_serious(
    web: WebServer, album: Album, open_page: Callable[..., Page], view: str, scheme: str
) -> None:
    query = {"search": "?q=bus&list=1", "view": f"?asset={asset_of(album, 9)}"}.get(view, "")
    page = open_page(f"{web.url}#/{view}{query}")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    expect(page.locator("main > *").first).to_be_visible()
    if view in ("search", "view"):
        expect(page.locator("main img").first).to_be_visible()
    page.evaluate(_AXE.read_text())
    found = page.evaluate("axe.run(document).then(result => result.violations)")
    serious = [
        (each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
