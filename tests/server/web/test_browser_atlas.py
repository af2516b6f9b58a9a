"""The map of a collection in a real browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

import numpy as np
from playwright.sync_api import Page, Route, expect

from tests.server.web.conftest import ALBUM, PICTURES, PRIVATE, WebServer

OpenPage = Callable[..., Page]
#: Returns the place on the page of the point that is farthest to the right.
_POINT = """() => {
    const canvas = document.querySelector('.atlas canvas');
    if (!canvas) return null;
    const { data, width } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let pixel;
    for (let index = 0; index < data.length >> 2; index++) {
        if (data[4 * index + 3] && !(pixel % width >= index % width)) pixel = index;
    }
    if (pixel === undefined) return null;
    const frame = canvas.getBoundingClientRect(), density = width / frame.width;
    return [frame.x + (pixel % width) / density, frame.y + Math.floor(pixel / width) / density];
}"""


def _open(web: WebServer, open_page: OpenPage, collection: str = ALBUM) -> Page:
    page = open_page(f"{web.url}#/atlas?collection={collection}")
    page.wait_for_function(f"() => ({_POINT})() !== null")
    return page


def test_a_point_shows_its_picture_and_opens_it(web: WebServer, open_page: OpenPage) -> None:
    page = _open(web, open_page)
    expect(page.get_by_role("status").first).to_have_text(f"{PICTURES + 1} pictures")
    x, y = page.evaluate(_POINT)
    page.mouse.move(x - 1, y + 1)
    expect(page.locator(".atlas .tip img")).to_be_visible()
    asset = page.locator(".atlas .tip img").get_attribute("alt")
    page.mouse.click(x - 1, y + 1)
    expect(page).to_have_url(re.compile(f"#/view\\?asset={asset}$"))
    expect(page.locator("img.whole")).to_be_visible()


def test_dragging_and_zooming_move_the_points(web: WebServer, open_page: OpenPage) -> None:
    page = _open(web, open_page)
    right, top = page.evaluate(_POINT)
    x, y = right - 1, top + 2  # the middle of the point
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=3)
    page.mouse.up()
    # The point stayed under the pointer, and no picture was opened.
    page.mouse.move(x + 61, y + 31)
    expect(page.locator(".atlas .tip img")).to_be_visible()
    assert "#/atlas" in page.url


def test_the_map_is_used_with_the_keyboard(web: WebServer, open_page: OpenPage) -> None:
    page = _open(web, open_page)
    canvas = page.get_by_role("application", name="Map.")
    canvas.press("+")
    canvas.press("ArrowLeft")
    canvas.press("-")
    canvas.press("ArrowRight")
    expect(page.locator(".atlas .tip img")).to_be_visible()
    asset = page.locator(".atlas .tip img").get_attribute("alt")
    canvas.press("Enter")
    expect(page).to_have_url(re.compile(f"#/view\\?asset={asset}$"))


def test_another_collection_is_chosen_from_the_list(web: WebServer, open_page: OpenPage) -> None:
    page = _open(web, open_page)
    page.get_by_label("Collection").select_option(PRIVATE)
    expect(page.get_by_role("status").first).to_have_text("1 pictures")
    page.wait_for_function(f"() => ({_POINT})() !== null")


def test_a_hundred_thousand_points_are_drawn_and_found(web: WebServer, open_page: OpenPage) -> None:
    positions = np.random.default_rng(5).integers(0, 30_000, (100_000, 2)).astype("<u2")
    positions[70_000] = 65_535, 40_000
    answer = {
        "collection": ALBUM,
        "total": 200_000,
        "assets": "".join(f"{number:012d}" for number in range(len(positions))),
        "positions": base64.b64encode(positions.tobytes()).decode(),
        "clusters": base64.b64encode(
            (np.arange(len(positions)) % 12).astype("<u2").tobytes()
        ).decode(),
    }

    def answer_map(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        if asked.get("method") != "resources/read":
            route.continue_()
            return
        contents = [{"uri": asked["params"]["uri"], "text": json.dumps(answer)}]
        route.fulfill(json={"jsonrpc": "2.0", "id": asked["id"], "result": {"contents": contents}})

    page = open_page("about:blank")
    page.route("**/mcp*", answer_map)
    page.goto(f"{web.url}#/atlas?collection={ALBUM}")
    page.wait_for_function(f"() => ({_POINT})() !== null")
    expect(page.get_by_text("100000 of 200000 pictures")).to_be_visible()
    x, y = page.evaluate(_POINT)
    page.mouse.click(x - 1, y + 1)
    expect(page).to_have_url(re.compile("#/view\\?asset=000000070000$"))
