"""Tests of the generated settings reference."""

from __future__ import annotations

from pathlib import Path

from sightline.server.config.settings_reference import settings_markdown

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_settings_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_markdown(), (
        "Run python -m sightline.server.config.settings_reference > docs/reference/settings.md"
    )
