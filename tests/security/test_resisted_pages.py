"""Pages that Sightline writes do not run what their material contains."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from sightline.server.reports import tour_page
from sightline.server.reports.tour_page import TourImage, TourStep
from tests.support import browser
from tests.support.sample_images import jpeg

HOSTILE = [
    "<script>window.ran = 1</script>",
    "</title></pre></style><script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "' autofocus onfocus='window.ran = 1'",
    "<svg/onload=window.ran=1>",
    "javascript:window.ran=1",
    "{{ 7 * 7 }} ${7 * 7} <%= 7 * 7 %>",
    "<!--><script>window.ran = 1</script>-->",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
]


class Tags(HTMLParser):
    """Collects tags, event handlers and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def tour() -> str:
    return tour_page.render(
        [
            TourStep(text, text, text, text, [TourImage([text, text], jpeg(1)), TourImage([text])])
            for text in HOSTILE
        ]
    )


def test_the_tour_escapes_hostile_text() -> None:
    parser, harmless = Tags(), Tags()
    parser.feed(tour())
    harmless.feed(
        tour_page.render(
            [
                TourStep("a", "b", "c", "d", [TourImage(["e", "f"], jpeg(1)), TourImage(["g"])])
                for _ in HOSTILE
            ]
        )
    )
    assert parser.tags == harmless.tags
    assert parser.handlers == []
    for text in HOSTILE:
        assert text in parser.text


def test_the_tour_runs_no_script_of_its_material(tmp_path: Path) -> None:
    if browser.PROGRAM is None:
        pytest.skip("there is no Chromium on the path")
    path = tmp_path / "tour.html"
    path.write_text(tour(), "utf-8")
    with browser.browser() as page:
        page.open(path.as_uri())
        assert page.evaluate("typeof window.ran") == "undefined"
        assert page.evaluate("document.querySelectorAll('[onerror], [onload]').length") == 0
        assert page.evaluate("location.protocol") == "file:"
