"""Reports hold what files, models and strangers said, and must not act on it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from sightline.server.evaluation import markdown_report
from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Case,
    Chart,
    Gallery,
    Headline,
    Report,
    Section,
    Shown,
    Table,
)
from sightline.server.reports import evaluation_page

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> | [x](javascript:1) {{ 7*7 }}"


def report(text: str) -> Report:
    half = Estimate(0.5, 0.4, 0.6, 3)
    return Report(
        text,
        [(text, text)],
        [
            Section(
                text,
                [
                    Table(text, [text, "n"], [[text, half], [None, 3]], text, frozenset({0})),
                    Table("shaded", ["a", "b"], [["x", half]], shaded=True),
                    Table("signed", ["a", "b"], [["x", half]], signed=True),
                    Chart(text, [(text, half)], text),
                    Gallery(text, [Case(text, [text], [Shown([text], "wrong", b"jpeg")])], text),
                ],
                text,
                [Headline(text, text, text)],
            )
        ],
        [text],
    )


class Elements(HTMLParser):
    """What a browser would make of a page."""

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
    parser.feed(evaluation_page.write(report(EVIL)))
    return parser


def test_a_page_shows_hostile_text_and_does_not_act_on_it(elements: Elements) -> None:
    assert "script" not in elements.tags
    assert elements.tags.count("img") == 1
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert EVIL in elements.text
    assert "49" not in elements.text


def test_a_page_loads_nothing_and_says_so(elements: Elements) -> None:
    policy = dict(elements.attributes)["content"] or ""
    assert any("default-src 'none'" in (value or "") for _, value in elements.attributes), policy
    links = [value or "" for name, value in elements.attributes if name in ("src", "href")]
    assert links
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)


def test_a_page_shows_estimates_with_their_intervals(elements: Elements) -> None:
    assert "0.500" in elements.text
    assert "0.400 to 0.600" in elements.text
    assert "+0.400 to +0.600" in elements.text


def test_markdown_keeps_hostile_text_in_its_cell() -> None:
    text = markdown_report.write(report(EVIL))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows
    for row in rows:
        assert "<script" not in row.replace("\\<", "")
        assert len(row.replace("\\|", "").split("|")) == 4, row
    assert "0.500 (0.400 to 0.600)" in text
    assert "+0.500 (+0.400 to +0.600)" in text


def test_markdown_keeps_lines_together() -> None:
    assert "\n# evil" not in markdown_report.write(report("a\n# evil"))
