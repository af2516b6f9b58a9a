"""Viewing and marking in a real browser; saved boxes are checked in the database."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.server.web.conftest import Album, WebServer

OpenPage = Callable[..., Page]


def asset_of(album: Album, index: int) -> str:
    """Return the id of a picture; each test has one of its own, because it saves boxes."""
    name = [*album.captions][index]
    return _rows(
        album,
        "SELECT asset.id FROM sightline.asset JOIN sightline.source ON source.id = source_id"
        " WHERE source.name LIKE %s",
        f"%{name}",
    )[0][0]


def _rows(album: Album, query: str, *values: object) -> list[tuple]:
    assert album.settings.database.url is not None
    with psycopg.connect(album.settings.database.url.get_secret_value()) as connection:
        return connection.execute(query, values).fetchall()


def saved_boxes(album: Album, asset: str) -> list[tuple]:
    return _rows(
        album,
        "SELECT label, origin, x0, y0, x1, y1 FROM sightline.annotation WHERE asset_id = %s"
        " ORDER BY created_at",
        asset,
    )


def _open(web: WebServer, open_page: OpenPage, asset: str) -> Page:
    page = open_page(f"{web.url}#/view?asset={asset}")
    expect(page.locator("img.whole")).to_be_visible()
    return page


def _drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag on the picture, in its frame."""
    frame = page.locator(".canvas").bounding_box()
    assert frame is not None

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return frame["x"] + point[0] * frame["width"], frame["y"] + point[1] * frame["height"]

    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at(end), steps=5)
    page.mouse.up()


def test_a_drawn_box_is_saved_where_it_was_drawn(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 0)
    page = _open(web, open_page, asset)
    expect(page.get_by_role("group", name="Layers")).to_have_count(0)
    page.get_by_role("button", name="Draw a box").click()
    _drag(page, (0.2, 0.3), (0.6, 0.7))
    page.get_by_label("Label").fill("  white van ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Boxes saved: 1.")).to_be_visible()
    ((label, origin, *corners),) = saved_boxes(album, asset)
    assert (label, origin) == ("white van", "person")
    assert corners == pytest.approx([0.2, 0.3, 0.6, 0.7], abs=0.01)
    page.reload()
    expect(page.locator(".frame.own .label")).to_have_text("white van")
    # The border is around the box, not over what the box shows.
    drawn, picture = (page.locator(each).bounding_box() for each in (".frame.own", ".canvas"))
    assert drawn
    assert picture
    assert drawn["width"] == pytest.approx(0.4 * picture["width"] + 4, abs=2)
    assert drawn["x"] + 2 == pytest.approx(picture["x"] + 0.2 * picture["width"], abs=2)
    expect(page.locator(".boxes small")).to_contain_text("person")


def test_a_box_is_moved_changed_and_deleted_with_the_keyboard(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 1)
    page = _open(web, open_page, asset)
    page.get_by_role("button", name="Draw a box").press("Enter")
    page.locator(".stage").press("Enter")
    page.get_by_label("Label").fill("cup")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_text("Boxes saved: 1.")).to_be_visible()
    before = saved_boxes(album, asset)[0][2:]
    box = page.get_by_role("button", name="Box cup.")
    for _ in range(4):
        box.press("ArrowRight")
    for _ in range(2):
        box.press("Shift+ArrowDown")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    (after,) = (row[2:] for row in saved_boxes(album, asset))
    x0, y0, x1, y1 = before
    assert after == pytest.approx((x0 + 0.02, y0, x1 + 0.02, y1 + 0.01), abs=0.002)
    page.get_by_role("button", name="Box cup.").press("Delete")
    expect(page.locator(".frame.own")).to_have_count(0)
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page.locator(".frame.own")).to_have_count(1)
    page.get_by_role("button", name="Redo").press("Enter")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    assert saved_boxes(album, asset) == []


def _detect(album: Album, asset: str, **left_edges: float) -> None:
    """Store boxes of the detector by label."""
    assert album.settings.database.url is not None
    with psycopg.connect(album.settings.database.url.get_secret_value()) as connection:
        for label, x0 in left_edges.items():
            connection.execute(
                "INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, score, origin,"
                " model) VALUES (%s, %s, %s, 0.2, %s, 0.5, 0.9, 'detector', 'builtin')",
                (asset, label, x0, x0 + 0.2),
            )


def test_a_box_of_a_model_is_confirmed_or_rejected(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 2)
    _detect(album, asset, van=0.1, tree=0.6)
    page = _open(web, open_page, asset)
    page.get_by_role("button", name="Confirm van").click()
    expect(page.get_by_role("button", name="Confirm van")).to_be_disabled()
    page.get_by_role("button", name="Reject tree").click()
    expect(page.get_by_role("button", name="Reject tree")).to_have_count(0)
    assert {(label, origin) for label, origin, *_ in saved_boxes(album, asset)} == {
        ("van", "detector"),
        ("van", "person"),
    }


def test_a_corrected_box_replaces_that_of_the_model(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 5)
    _detect(album, asset, van=0.1)
    page = _open(web, open_page, asset)
    page.get_by_role("button", name="Correct van").click()
    expect(page.locator(".frame.detector")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".frame.detector")).to_have_count(1)
    page.get_by_role("button", name="Correct van").click()
    for _ in range(4):
        page.get_by_role("button", name="Box van.").press("ArrowRight")
    page.get_by_label("Label").fill("bus")
    page.get_by_label("Label").press("Enter")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    ((label, origin, *corners),) = saved_boxes(album, asset)
    assert (label, origin) == ("bus", "person")
    assert corners == pytest.approx([0.12, 0.2, 0.32, 0.5], abs=0.002)


def test_the_place_of_a_hit_is_marked_without_drawing(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 6)
    page = _open(web, open_page, f"{asset}&box=0.5,0.6,0.7,0.65")
    expect(page.get_by_role("group", name="Layers")).to_be_visible()
    page.get_by_role("button", name="Mark Match").click()
    expect(page.get_by_label("Label")).to_be_focused()
    page.keyboard.type("total")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    ((label, origin, *corners),) = saved_boxes(album, asset)
    assert (label, origin) == ("total", "person")
    assert corners == pytest.approx([0.5, 0.6, 0.7, 0.65])


def _draw(page: Page, label: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.get_by_role("button", name="Draw a box").click()
    _drag(page, start, end)
    page.get_by_label("Label").last.fill(label)


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Save")).to_have_count(0)


def test_two_tabs_add_boxes_to_the_same_picture(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 11)
    first, second = (_open(web, open_page, asset) for _ in range(2))
    _draw(first, "left", (0.1, 0.1), (0.3, 0.3))
    _draw(second, "right", (0.6, 0.6), (0.8, 0.8))
    _save(first)
    _save(second)
    assert sorted(second.locator(".frame.own .label").all_inner_texts()) == ["left", "right"]
    assert [label for label, *_ in saved_boxes(album, asset)] == ["left", "right"]


def test_a_box_that_was_changed_in_another_tab_is_not_overwritten(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    asset = asset_of(album, 12)
    first = _open(web, open_page, asset)
    _draw(first, "cup", (0.2, 0.2), (0.4, 0.4))
    _save(first)
    second = _open(web, open_page, asset)
    expect(second.locator(".frame.own")).to_have_count(1)
    first.get_by_label("Label").fill("mug")
    _save(first)
    second.get_by_label("Label").fill("glass")
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_text("Nothing was saved: these boxes were changed")).to_be_visible()
    assert [label for label, *_ in saved_boxes(album, asset)] == ["mug"]
    expect(second.locator(".frame.own .label")).to_have_text(["mug", "glass"])
    _save(second)
    assert [label for label, *_ in saved_boxes(album, asset)] == ["mug", "glass"]


def test_an_unnamed_box_is_not_saved(web: WebServer, album: Album, open_page: OpenPage) -> None:
    asset = asset_of(album, 3)
    page = _open(web, open_page, asset)
    page.get_by_role("button", name="Draw a box").click()
    _drag(page, (0.1, 0.1), (0.3, 0.3))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Give every box a label before you save.")).to_be_visible()
    assert saved_boxes(album, asset) == []


def test_zooming_keeps_the_point_under_the_pointer(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    page = _open(web, open_page, asset_of(album, 4))
    before = page.locator(".canvas").bounding_box()
    assert before is not None
    x, y = before["x"] + before["width"] * 0.75, before["y"] + before["height"] * 0.5
    page.mouse.move(x, y)
    page.mouse.wheel(0, -800)
    page.wait_for_function(
        "width => document.querySelector('.canvas').clientWidth > width * 4",
        arg=before["width"],
    )
    after = page.locator(".canvas").bounding_box()
    assert after is not None
    assert (x - after["x"]) / after["width"] == pytest.approx(0.75, abs=0.01)
    assert (y - after["y"]) / after["height"] == pytest.approx(0.5, abs=0.01)
    page.get_by_role("button", name="Whole picture").click()
    page.wait_for_function(
        "width => Math.abs(document.querySelector('.canvas').clientWidth - width) < 2",
        arg=before["width"],
    )


def test_an_answer_shows_its_claims_and_their_evidence(
    web: WebServer, album: Album, open_page: OpenPage
) -> None:
    street = next(index for index, name in enumerate(album.captions) if name.startswith("street"))
    page = _open(web, open_page, asset_of(album, street))
    page.get_by_role("link", name="Ask about this picture").click()
    page.get_by_placeholder("How many vans").fill("How many vehicles are there?")
    page.get_by_role("button", name="Ask", exact=True).click()
    claim = page.locator(".claims > li").first
    expect(claim).to_be_visible()
    expect(claim.locator(".verdict")).to_have_text(
        ["supported"] if "supported" in (claim.get_attribute("class") or "") else ["unchecked"]
    )
    expect(claim.locator(".reasons li").first).to_be_visible()
    expect(page.locator(".claim-picture img")).to_be_visible()
    page.locator(".evidence a").first.click()
    expect(page.locator("img.whole")).to_be_visible()


def test_files_are_added_and_failures_have_reasons(
    web: WebServer, open_page: OpenPage, tmp_path: object
) -> None:
    from tests.support.sample_images import jpeg

    page = open_page(f"{web.url}#/manage")
    page.get_by_label("Into collection").fill("dropped")
    page.locator(".drop input").set_input_files(
        [
            {"name": "good.jpg", "mimeType": "image/jpeg", "buffer": jpeg(4711)},
            {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8nothing"},
            {"name": "big.jpg", "mimeType": "image/jpeg", "buffer": jpeg(1).ljust(2_990_000)},
            {"name": "huge.jpg", "mimeType": "image/jpeg", "buffer": jpeg(2).ljust(3_000_001)},
        ]
    )
    expect(page.locator(".notice")).to_contain_text("2 added, 0 known, 2 failed")
    expect(page.locator(".failures")).to_contain_text("broken.jpg")
    expect(page.locator(".failures")).to_contain_text("larger than 3 MB; add it on the server")
    card = page.locator(".collections .card", has_text="dropped")
    card.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete the collection dropped with 2 pictures?")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator(".collections .card", has_text="dropped")).to_have_count(0)
