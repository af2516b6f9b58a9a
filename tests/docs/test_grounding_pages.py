"""Tests of the pages about the vision-language model."""

from __future__ import annotations

from pathlib import Path

from sightline.server.config.settings_reference import list_settings
from sightline.server.observability.metrics import Metrics
from sightline.tools.boxes.model_families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "".join(
    (DOCS / page).read_text(encoding="utf-8")
    for page in ("how-to/answer.md", "explanation/grounding.md")
)


def test_every_profile_is_documented() -> None:
    assert [family.name for family in FAMILIES if f"`{family.name}`" not in PAGE] == []


def test_every_documented_setting_and_metric_exists() -> None:
    words = {word.strip("`().,;") for word in PAGE.replace("=", " ").split()}
    settings = {row.variable for row in list_settings()}
    assert {word for word in words if word.startswith("SIGHTLINE_")} <= settings
    exposition = Metrics().exposition().decode()
    metrics = {word for word in words if word.startswith("sightline_vision")}
    assert len(metrics) == 4
    assert all(f"# TYPE {word}" in exposition for word in metrics)
