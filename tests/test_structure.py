"""The code structure stays navigable: unique names, small folders, short docstring lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import structure
from sightline.tools.registry import TOOL_NAMES

MODULES = structure.modules(structure.ROOT)
#: Two classes of this name are adapters of the same concept on two levels.
ALLOWED_CLASSES: set[str] = set()
ALLOWED_BASENAMES: set[str] = set()


def test_no_two_modules_have_the_same_basename() -> None:
    assert set(structure.duplicate_basenames(MODULES)) - ALLOWED_BASENAMES == set()


def test_no_two_public_classes_have_the_same_name() -> None:
    counts = structure.public_classes(MODULES)
    assert {name for name, count in counts.items() if count > 1} - ALLOWED_CLASSES == set()


def test_a_folder_has_at_most_twelve_modules() -> None:
    counts = structure.modules_per_folder(MODULES)
    counts[Path("tools")] -= len(TOOL_NAMES)  # one module for each tool
    full = {str(folder): count for folder, count in counts.items() if count > 12}
    assert full == {}


def test_server_has_at_most_five_modules_of_its_own() -> None:
    assert structure.modules_per_folder(MODULES)[Path("server")] <= 5


def test_the_first_line_of_a_docstring_has_at_most_80_characters() -> None:
    assert structure.long_docstrings(MODULES) == []


@pytest.mark.parametrize("limit", [400])
def test_a_module_has_at_most_400_lines(limit: int) -> None:
    assert [str(each.path) for each in MODULES if each.lines > limit] == []


@pytest.mark.parametrize(
    ("source", "long"),
    [
        ('"""Short."""\n', 0),
        ('"""' + "x" * 81 + '"""\n', 1),
        ('def f():\n    """' + "x" * 81 + '\n    more\n    """\n', 1),
    ],
)
def test_long_docstring_lines_are_found(source: str, long: int) -> None:
    module = structure.Module(Path("a.py"), source, ast.parse(source))
    assert len(structure.long_docstrings([module])) == long


def test_duplicates_are_found() -> None:
    found = [
        structure.Module(Path(path), "", ast.parse("class A: ...\nclass _B: ...\n"))
        for path in ("server/a.py", "tools/a.py", "tools/__init__.py")
    ]
    assert structure.duplicate_basenames(found) == ["a"]
    assert structure.public_classes(found) == {"A": 3}
