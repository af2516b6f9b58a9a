"""The app inside a chat, with the reference host bridge of MCP Apps."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.server.web.conftest import ALBUM, Album, WebServer
from tests.support import chat_host

OpenPage = Callable[..., Page]

pytestmark = pytest.mark.skipif(
    not chat_host.CAN_BUILD, reason="needs the npm packages of the web app: make web"
)


@pytest.fixture(scope="module")
def host_script(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_host.build(tmp_path_factory.mktemp("host"))


@pytest.fixture
def chat(web: WebServer, host_script: str, open_page: OpenPage) -> Page:
    """Open a page of the server's origin that is the chat."""
    page = open_page(f"{web.url}healthz")

    def answer(route: Route) -> None:
        if route.request.url.endswith("/host.js"):
            route.fulfill(body=host_script, content_type="text/javascript")
        else:
            body = '<!doctype html><script type="module" src="host.js"></script>'
            route.fulfill(body=body, content_type="text/html")

    page.route("**/chat/*", answer)
    page.goto(f"{web.url}chat/index.html")
    page.wait_for_function("window.host !== undefined")
    return page


def test_the_app_shows_the_hits_of_the_model_and_tells_it_the_marked_ones(
    chat: Page, album: Album
) -> None:
    name, caption = next(iter(album.captions.items()))
    chat.evaluate("args => host.show('search_images', args)", {"query": caption, "limit": 3})
    app = chat.frame_locator("iframe")
    expect(app.locator(".chat-hits > li")).to_have_count(3)
    expect(app.locator(".chat-hits > li").first).to_contain_text(name)
    expect(app.locator(".chat-hits img").first).to_be_visible()
    assert app.locator("html").get_attribute("data-theme") == "dark"
    app.get_by_role("checkbox").first.check()
    app.get_by_role("button", name="Tell the model").click()
    expect(app.get_by_text("The model will know at its next answer.")).to_be_visible()
    (told,) = chat.evaluate("host.told")
    assert re.search(r"\[1\] asset [0-9a-z]{8,}", told)
    # A file name may contain an instruction, which the model would take for one of the person.
    assert name not in told


def test_the_app_shows_a_picture_and_saves_a_corrected_box(chat: Page, album: Album) -> None:
    from tests.server.web.test_browser_viewer import asset_of, saved_boxes

    asset = asset_of(album, 8)
    chat.evaluate("args => host.show('view_image', args)", {"asset": asset})
    app = chat.frame_locator("iframe")
    expect(app.locator("img.whole")).to_be_visible()
    app.get_by_role("button", name="Draw a box").click()
    app.locator(".stage").press("Enter")
    app.get_by_label("Label").fill("from the chat")
    app.get_by_role("button", name="Save").click()
    expect(app.get_by_text("Boxes saved: 1.")).to_be_visible()
    assert [label for label, *_ in saved_boxes(album, asset)] == ["from the chat"]


def test_the_app_shows_an_answer_with_its_claims(chat: Page, album: Album) -> None:
    from tests.server.web.test_browser_viewer import asset_of

    arguments = {"question": "How many vehicles are there?", "assets": [asset_of(album, 0)]}
    chat.evaluate("args => host.show('answer_question', args)", {**arguments, "collection": ALBUM})
    app = chat.frame_locator("iframe")
    expect(app.locator(".answer .result")).to_be_visible()
    expect(app.locator(".evidence li").first).to_be_visible()
