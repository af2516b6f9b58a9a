"""Searching in a real browser: words, pictures, examples, filters, hostile text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, expect

from sightline.server.config import Settings
from tests.server.web.conftest import ALBUM, HOSTILE, PICTURES, Album, WebServer

OpenPage = Callable[..., Page]


def _first_file(page: Page) -> str:
    return page.locator(".card .file").first.inner_text()


def _search(page: Page, words: str) -> None:
    page.get_by_role("searchbox").fill(words)
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_be_visible()


def test_words_find_the_picture_and_show_why(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    name, caption = next(iter(album.captions.items()))
    page = open_page(web.url)
    _search(page, caption)
    assert _first_file(page) == name
    expect(page.locator(".card mark").first).to_be_visible()
    page.locator(".card").first.get_by_role("button", name="Why?").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(caption)
    expect(dialog).to_contain_text("rank 1")


def test_only_words_of_the_query_are_marked(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(web.url)
    _search(page, "the hostile cap in it")
    snippet = page.locator(".card", has_text="hostile").locator(".snippet").first
    # "the", "cap" and "hostile" begin words; "it" and "in" are too short to tell anything.
    assert snippet.locator("mark").all_inner_texts() == ["hostile", "cap"]


def test_the_tool_call_of_a_search_can_be_copied(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(f"{web.url}#/search?q=bus&collection={ALBUM}&weight=0.2")
    page.get_by_role("button", name="Copy the tool call").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    call = json.loads(page.evaluate("navigator.clipboard.readText()"))
    arguments = {"query": "bus", "collection": ALBUM, "visual_weight": 0.2}
    assert call == {"name": "search_images", "arguments": arguments}


def test_a_chosen_picture_finds_itself(
    web: WebServer, album: Album, open_page: OpenPage, tmp_path: Path
) -> None:
    name = [*album.captions][3]
    page = open_page(web.url)
    folder = album.settings.data_dir.parent / "world"
    (picture,) = folder.rglob(name)
    page.locator("form input[type=file]").set_input_files(picture)
    expect(page.get_by_text("Searching by this picture")).to_be_visible()
    expect(page.locator(".card").first).to_be_visible()
    assert _first_file(page) == name


def test_a_part_of_the_picture_can_be_drawn(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(f"{web.url}#/search?list=1&collection={ALBUM}")
    page.locator(".card").first.locator("a.thumb").click()
    page.get_by_role("link", name="Search by this picture").click()
    page.get_by_text("Search by a part").click()
    stage = page.locator(".region-stage")
    expect(stage.locator("img")).to_be_visible()
    frame = stage.bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 10, frame["y"] + 10)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2, steps=4)
    page.mouse.up()
    expect(page).to_have_url(re.compile("region="))
    region = re.search(r"region=([0-9.%C,]+)", page.url)
    assert region is not None
    x0, y0, x1, y1 = (float(value) for value in region[1].replace("%2C", ",").split(","))
    assert x0 < 0.1
    assert y0 < 0.1
    assert abs(x1 - 0.5) < 0.02
    assert abs(y1 - 0.5) < 0.02


def test_a_filter_of_the_collection_narrows_the_list(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    page = open_page(f"{web.url}#/search?list=1&collection={ALBUM}")
    expect(page.locator(".status")).to_contain_text(f"{PICTURES + 1} of {PICTURES + 1}")
    page.get_by_text("More options").click()
    page.get_by_label("Key").select_option("family")
    page.get_by_role("button", name="Add a filter").click()
    group = page.get_by_role("group", name="family")
    group.get_by_label("Value").fill("street")
    group.get_by_label("Value").press("Tab")
    expected = sum(name.startswith("street") for name in album.captions)
    assert 0 < expected < PICTURES
    expect(page.locator(".status")).to_contain_text(f"{expected} of {expected}")


def test_weak_hits_stand_apart(web: WebServer, album: Album, open_page: OpenPage) -> None:
    page = open_page(web.url, height=3000)
    _search(page, next(iter(album.captions.values())))
    heading = page.locator(".grid-heading", has_text="Weak matches")
    expect(heading).to_be_visible()

    def tops(selector: str) -> list[float]:
        return page.locator(selector).evaluate_all(
            "cards => cards.map(card => card.getBoundingClientRect().top)"
        )

    middle = heading.bounding_box()
    assert middle is not None
    assert max(tops(".card:not(.weak)")) < middle["y"] < min(tops(".card.weak"))


def test_hostile_text_is_shown_as_text(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(web.url)
    _search(page, "hostile caption")
    expect(page.locator(".card .snippet").first).to_contain_text(HOSTILE)
    assert page.locator(".card .snippet img").count() == 0


def test_all_texts_are_also_in_chinese(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(web.url, locale="zh-CN")
    expect(page.get_by_role("button", name="搜索")).to_be_visible()
    page.get_by_label("语言").select_option("en")
    expect(page.get_by_role("button", name="Search")).to_be_visible()


def test_the_keyboard_alone_reaches_a_picture(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    name, caption = next(iter(album.captions.items()))
    page = open_page(web.url)
    page.keyboard.type(caption)  # the field has the focus
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('thumb')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_narrow_screen_needs_no_sideways_scrolling(web: WebServer, open_page: OpenPage) -> None:
    page = open_page(f"{web.url}#/search?list=1", width=360, height=700)
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_token_is_asked_for_and_shows_only_its_collections(
    guarded: WebServer, open_page: OpenPage
) -> None:
    page = open_page(guarded.url)
    page.get_by_label("Access token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The server refused the last token.")).to_be_visible()
    page.get_by_label("Access token").fill(guarded.tokens["ann"])
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{guarded.url}#/search?list=1")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card .badge", has_text=ALBUM)).to_have_count(0)
    assert page.get_by_label("Collection").locator("option").all_inner_texts() == [
        "All collections",
        "private",
    ]
    expect(page.locator(".card img").first).to_be_visible()  # fetched with the token


def test_a_link_of_another_site_cannot_sign_a_person_in(
    guarded: WebServer, open_page: OpenPage
) -> None:
    own = f"{guarded.url}#token={guarded.tokens['ann']}"
    page = open_page(own)  # as `sightline open` does
    expect(page.get_by_label("Collection").locator("option")).to_have_count(2)
    assert page.url == guarded.url
    page = open_page("about:blank")
    link = f'<a href="{own}">a prize</a>'
    page.route(
        "http://other.test/*", lambda route: route.fulfill(body=link, content_type="text/html")
    )
    page.goto("http://other.test/")
    page.get_by_role("link").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.url == guarded.url
    assert page.evaluate("sessionStorage.length") == 0
    expect(open_page(f"{guarded.url}#token=%E0").get_by_label("Access token")).to_be_visible()


def test_an_address_with_wrong_filters_does_not_stop_the_page(
    web: WebServer, open_page: OpenPage
) -> None:
    filters = json.dumps([{"key": "page", "numeric": True, "from": 5}, None, {"key": {}}])
    page = open_page(f"{web.url}#/search?list=1&filters={quote(filters)}")
    expect(page.locator(".card").first).to_be_visible()


def test_the_page_survives_a_restart_of_the_server(album: Album, open_page: OpenPage) -> None:
    from anyio.from_thread import start_blocking_portal

    from sightline.server.http.http_server import start_http_server

    with start_blocking_portal() as portal:

        def serve(settings: Settings):
            return portal.wrap_async_context_manager(start_http_server(settings))

        with serve(album.settings) as (url, _):
            page = open_page(url.removesuffix("mcp"))
            _search(page, "bus")
        port = int(url.split(":")[2].split("/")[0])
        with serve(album.settings.replace(http__port=port)):
            _search(page, "chart")
            expect(page.locator(".status")).to_contain_text("results")
