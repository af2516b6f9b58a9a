"""The installed packages are the packages in the repository."""

from __future__ import annotations

import tomllib
from pathlib import Path

from setuptools import find_namespace_packages

ROOT = Path(__file__).parents[2]
TOP_LEVEL = ("client", "migrations", "server", "storage", "tools", "training")


def test_every_package_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    find = project["tool"]["setuptools"]["packages"]["find"]
    installed = {
        package
        for folder in find["where"]
        for package in find_namespace_packages(str(ROOT / folder), exclude=find["exclude"])
    }
    expected = {
        ".".join(("sightline", *path.parent.relative_to(ROOT).parts))
        for folder in TOP_LEVEL
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert expected | {"sightline"} <= installed
    # The others are folders of data.
    others = installed - expected - {"sightline"}
    assert "sightline.storage.sql" in others
    assert not [name for name in others if "__pycache__" in name]


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for folder in TOP_LEVEL for path in (ROOT / folder).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
