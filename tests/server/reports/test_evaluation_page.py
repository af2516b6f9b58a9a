"""Reports contain untrusted text and must not interpret it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from sightline.server.evaluation.report_model import render_markdown
from sightline.server.reports import evaluation_page
from tests.support.eval_report import report

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> | [x](javascript:1) {{ 7*7 }}"


class Elements(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def elements() -> Elements:
    parser = Elements()
    parser.feed(evaluation_page.render(report(HOSTILE)))
    return parser


def test_the_page_escapes_hostile_text(elements: Elements) -> None:
    assert "script" not in elements.tags
    assert elements.tags.count("img") == 1
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert HOSTILE in elements.text
    assert "49" not in elements.text


def test_the_page_loads_nothing_and_its_policy_forbids_it(elements: Elements) -> None:
    policy = dict(elements.attributes)["content"] or ""
    assert any("default-src 'none'" in (value or "") for _, value in elements.attributes), policy
    links = [value or "" for name, value in elements.attributes if name in ("src", "href")]
    assert links
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)


def test_the_page_shows_estimates_with_their_intervals(elements: Elements) -> None:
    assert "0.500" in elements.text
    assert "0.400 to 0.600" in elements.text
    assert "+0.400 to +0.600" in elements.text


def test_markdown_escapes_hostile_text_in_cells() -> None:
    text = render_markdown(report(HOSTILE))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    for row in rows:
        assert "<script" not in row.replace("\\<", "")
        assert len(row.replace("\\|", "").split("|")) == 4, row
    assert "0.500 (0.400 to 0.600)" in text
    assert "+0.500 (+0.400 to +0.600)" in text


def test_markdown_joins_the_lines_of_a_text() -> None:
    assert "\n# evil" not in render_markdown(report("a\n# evil"))
