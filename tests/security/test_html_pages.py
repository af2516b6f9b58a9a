"""The HTML pages show names and captions as text, and their policy forbids all else."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sightline.server.evaluation.report_model import render_markdown
from sightline.server.reports import atlas_page, evaluation_page, tour_page
from sightline.server.reports.tour_page import TourClaim, TourImage, TourStep
from sightline.storage.analytics.atlas_data import CollectionMap, MapColumn
from sightline.storage.text.hidden_characters import remove_and_count_hidden
from tests.support import browser
from tests.support.eval_report import report
from tests.support.sample_images import jpeg

HOSTILE = (
    "<script>window.ran = 1</script>",
    "</script></style></title><img src=x onerror=window.ran=1>",
    "</SCRIPT\t><script>window.ran = 1</script>",
    "<!--<script>window.ran = 1",
    "\"'><svg/onload=window.ran=1>",
    '" onmouseover="window.ran=1" x="',
    "javascript:window.ran=1",
    "<base href=https://evil.example/><link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form action=https://evil.example><button autofocus onfocus=window.ran=1>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "\\u003cscript\\u003ewindow.ran = 1//",
    "{{ 7 * 191 }} {% raw %} ${7 * 191}",
    "]]><x:script xmlns:x='http://www.w3.org/1999/xhtml'>window.ran = 1</x:script>",
    "__proto__",
    "</title></pre></style><script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "' autofocus onfocus='window.ran = 1'",
    "<!--><script>window.ran = 1</script>-->",
    "<base href='https://evil.example/'>",
    "{{ 7 * 191 }} <%= 7 * 191 %>",
)
HIDDEN = "\u202ereversed\u2066 \x1b[31m\U000e0041\u200b\u2028"
#: What each directive of a policy must be, or may be at most.
POLICY = {
    "default-src": {"'none'"},
    "img-src": {"data:"},
    "base-uri": {"'none'"},
    "form-action": {"'none'"},
}


def atlas(text: str) -> str:
    count = 4
    values = [text, None, text, "other"]
    columns = [MapColumn(text, values), MapColumn(text, [1.0, None, 2.0, 3.0], scale=True)]
    map_ = CollectionMap(
        text,
        text,
        "pca",
        count,
        [f"{number:012d}" for number in range(count)],
        np.linspace(0, 1, 2 * count, dtype=np.float32).reshape(count, 2),
        [text] * count,
        [text] * count,
        columns,
    )
    thumbnails = dict.fromkeys(map_.ids, atlas_page.shrink(jpeg(1)))
    return atlas_page.render(map_, thumbnails, created_at=datetime(2026, 1, 1, tzinfo=UTC))


def evaluation(text: str) -> str:
    return evaluation_page.render(report(text))


def tour(text: str) -> str:
    images = [TourImage([text, text], jpeg(1)), TourImage([text])]
    claims = [TourClaim(text, text, [text], [text])]
    return tour_page.render([TourStep(text, text, text, text, images, claims)])


PAGES: dict[str, Callable[[str], str]] = {"atlas": atlas, "evaluation": evaluation, "tour": tour}
page = pytest.mark.parametrize("render", PAGES.values(), ids=PAGES)


class Structure(HTMLParser):
    """Collects the tags with the names of their attributes, links, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.policy = ""
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        values = dict(attrs)
        self.links += [values[name] or "" for name in ("src", "href", "action") if name in values]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""

    def handle_data(self, data: str) -> None:
        self.text += data


@page
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_changes_no_tag_attribute_or_link(
    render: Callable[[str], str], text: str
) -> None:
    found, harmless = Structure(render(text)), Structure(render("harmless"))
    assert found.tags == harmless.tags
    assert not [name for _, names in found.tags for name in names if name.startswith("on")]
    assert found.links == harmless.links
    assert all(link.startswith("data:image/") for link in found.links)
    assert "1337" not in found.text
    shown = found.text
    block = re.search(r'<script id="data"[^>]*>(.*?)</script>', render(text), re.DOTALL)
    if block is not None:
        data = json.loads(block[1])
        shown += "".join((*data["titles"], *data["captions"], data["columns"][0]["name"]))
        assert "<" not in block[1]
    assert shown.count(text) >= 4


@page
def test_the_policy_permits_only_the_pages_own_script_and_images(
    render: Callable[[str], str],
) -> None:
    policy = Structure(render(HOSTILE[0])).policy
    directives = {name: set(values) for name, *values in map(str.split, policy.split(";"))}
    assert POLICY.items() <= directives.items()
    for value in directives.get("script-src", set()):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", value)
    styles = directives["style-src"]
    assert styles == {"'unsafe-inline'"} or all(each.startswith("'sha256-") for each in styles)
    assert set(directives) <= {*POLICY, "script-src", "style-src"}


@page
def test_hidden_characters_do_not_reorder_a_page(render: Callable[[str], str]) -> None:
    text = html.unescape(render(HIDDEN))
    assert "reversed" in text
    assert remove_and_count_hidden(text) == (text, 0)
    assert "\\u202e" not in text


def test_hidden_characters_do_not_reach_the_markdown() -> None:
    text = render_markdown(report(HIDDEN))
    assert "reversed" in text
    assert remove_and_count_hidden(text) == (text, 0)


@pytest.fixture(scope="module")
def shown() -> Iterator[browser.Page]:
    if browser.PROGRAM is None:
        pytest.skip("there is no Chromium on the path")
    with browser.browser() as opened:
        yield opened


@page
def test_a_browser_runs_and_loads_nothing_of_the_text(
    shown: browser.Page, render: Callable[[str], str], tmp_path: Path
) -> None:
    shown.messages.clear()
    for number, text in enumerate((*HOSTILE, "".join(HOSTILE))):
        path = tmp_path / f"{number}.html"
        path.write_text(render(text), "utf-8")
        shown.open(path.as_uri())
        hover = "typeof pin == 'function' ? (pin(0), colorBy(0), colorBy(1), 1) : 1"
        assert shown.evaluate(hover) == 1
        assert shown.evaluate("typeof window.ran") == "undefined"
        assert shown.evaluate("location.pathname").endswith(path.name)
        assert shown.evaluate("document.querySelectorAll('iframe, form, base, object').length") == 0
    events = {message.get("method") for message in shown.messages}
    assert not events & {
        "Runtime.exceptionThrown",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    }
    requested = [
        message["params"]["request"]["url"]
        for message in shown.messages
        if message.get("method") == "Network.requestWillBeSent"
    ]
    assert {url.partition(":")[0] for url in requested} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in requested) == len(HOSTILE) + 1
