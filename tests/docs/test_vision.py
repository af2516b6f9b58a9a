"""The page on the vision-language model names what there is."""

from __future__ import annotations

from pathlib import Path

from sightline.server.config.settings_reference import list_settings
from sightline.server.observability.metrics import Metrics
from sightline.tools.boxes.model_families import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "grounding.md").read_text(
    encoding="utf-8"
)


def test_every_profile_is_in_its_table() -> None:
    assert [family.name for family in FAMILIES if f"`{family.name}`" not in PAGE] == []


def test_every_setting_and_metric_that_it_names_exists() -> None:
    words = {word.strip("`().,;") for word in PAGE.replace("=", " ").split()}
    settings = {row.variable for row in list_settings()}
    assert {word for word in words if word.startswith("SIGHTLINE_")} <= settings
    shown = Metrics().exposition().decode()
    named = {word for word in words if word.startswith("sightline_vision")}
    assert len(named) == 4
    assert all(f"# TYPE {word}" in shown for word in named)
