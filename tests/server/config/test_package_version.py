"""Tests of the version and the name of the package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sightline.server.config.package_version import DISTRIBUTION, package_version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_that_of_the_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "sightline_mcp-7.8.9.dist-info"
    installed.mkdir()
    installed.joinpath("METADATA").write_text("Name: sightline-mcp\nVersion: 7.8.9\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert package_version() == "7.8.9"


def test_a_source_tree_that_is_not_installed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert package_version() == "0+source"


def test_the_name_is_that_of_the_project() -> None:
    assert PROJECT["name"] == DISTRIBUTION


def test_each_extra_that_is_named_anywhere_exists() -> None:
    """Another project owns ``sightline`` in the package index: `pip` could install that."""
    listed = subprocess.run(
        ["git", "grep", "-hoE", r"sightline(-mcp)?\[[a-z]+\]", "--", "*.md", "*.py", "*.toml"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    named = set(listed.stdout.decode().split())
    assert named
    known = {f"{DISTRIBUTION}[{extra}]" for extra in PROJECT["optional-dependencies"]}
    assert named - known == set()
