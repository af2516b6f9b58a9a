"""The player of videos in a real browser, with an ingested video and its subtitles."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Page, expect

from sightline.server.cli.library.ingest import ingest_paths
from tests.server.web.conftest import Album, WebServer
from tests.support.media import BLUE, GREEN, RED, film

OpenPage = Callable[..., Page]
_FILMS = "films"
_SUBTITLES = """\
1
00:00:00,500 --> 00:00:02,000
A red <b>start</b> of the film

2
00:00:04,200 --> 00:00:05,500
Now everything is green
"""


@pytest.fixture(scope="module")
def frames(album: Album, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, float]]:
    """Ingest a video of three shots; return the ids and seconds of its frames."""
    folder = tmp_path_factory.mktemp("films")
    film(folder / "clip.webm", [(RED, 4), (GREEN, 4), (BLUE, 4)], codec="libvpx")
    (folder / "clip.srt").write_text(_SUBTITLES)
    with start_blocking_portal() as portal:
        portal.call(ingest_paths, album.settings, [folder], _FILMS, lambda _: None)
    rows = _frames(album)
    assert len(rows) >= 3
    return rows


def _frames(album: Album) -> list[tuple[str, float]]:
    assert album.settings.database.url is not None
    with psycopg.connect(album.settings.database.url.get_secret_value()) as connection:
        return connection.execute(
            "SELECT asset.id, frame_seconds FROM sightline.asset JOIN sightline.collection"
            " ON collection.id = collection_id WHERE collection.name = %s ORDER BY frame_seconds",
            [_FILMS],
        ).fetchall()


def _wait_until_at(page: Page, seconds: float) -> None:
    page.wait_for_function(
        "seconds => { const video = document.querySelector('.player video');"
        " return video?.readyState >= 2 && Math.abs(video.currentTime - seconds) < 0.2 }",
        arg=seconds,
    )


def test_the_video_of_a_frame_is_played_from_its_time(
    web: WebServer, frames: list[tuple[str, float]], open_page: OpenPage
) -> None:
    asset, seconds = frames[1]
    page = open_page(f"{web.url}#/view?asset={asset}")
    _wait_until_at(page, seconds)
    timeline = page.get_by_role("group", name="Frames on the timeline")
    marks = timeline.get_by_role("button")
    expect(marks).to_have_count(len(frames))
    expect(timeline.locator("[aria-current]")).to_have_attribute("title", re.compile("^Frame at"))
    marks.last.click()
    _wait_until_at(page, frames[-1][1])
    marks.last.press("ArrowLeft")
    page.keyboard.press("Enter")
    _wait_until_at(page, frames[-2][1])


def test_a_subtitle_leads_to_its_time(
    web: WebServer, frames: list[tuple[str, float]], open_page: OpenPage
) -> None:
    page = open_page(f"{web.url}#/view?asset={frames[0][0]}")
    _wait_until_at(page, frames[0][1])
    lines = page.locator(".spoken li")
    expect(lines).to_have_text(["00:00 A red start of the film", "00:04 Now everything is green"])
    lines.last.get_by_role("button").click()
    _wait_until_at(page, 4.2)
    expect(page.locator(".spoken [aria-current]")).to_contain_text("Now everything is green")


def test_found_frames_are_marked_on_the_timeline(
    web: WebServer, frames: list[tuple[str, float]], open_page: OpenPage
) -> None:
    page = open_page(f"{web.url}#/search?collection={_FILMS}&list=1")
    page.locator("main .card a").first.click()
    expect(page.get_by_role("button", name="Result at").first).to_be_visible()
    expect(page.locator(".timeline .mark.hit")).to_have_count(len(frames))


def test_a_link_that_ended_is_renewed_where_the_video_was(
    web: WebServer, frames: list[tuple[str, float]], open_page: OpenPage
) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.goto(f"{web.url}#/view?asset={frames[1][0]}")
    _wait_until_at(page, frames[1][1])
    first = page.locator(".player video").get_attribute("src")
    page.clock.fast_forward(11 * 60 * 1000)
    # What the player does when the server refuses a link.
    page.evaluate("document.querySelector('.player video').dispatchEvent(new Event('error'))")
    page.wait_for_function(
        "first => document.querySelector('.player video').src !== first", arg=first
    )
    _wait_until_at(page, frames[1][1])


def test_without_the_file_the_frames_and_lines_remain(
    web: WebServer, frames: list[tuple[str, float]], open_page: OpenPage
) -> None:
    page = open_page("about:blank")
    page.route("**/media-link", lambda route: route.fulfill(status=500, json={"error": "gone"}))
    page.goto(f"{web.url}#/view?asset={frames[0][0]}")
    expect(page.get_by_text("The original cannot be played: gone")).to_be_visible()
    expect(page.locator(".player video")).to_have_count(0)
    page.locator(".spoken button").last.click()
    expect(page.locator(".strip [aria-current] .badge")).to_have_text("00:04")
