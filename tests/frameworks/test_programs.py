"""The documented programs of agent frameworks are short, complete and on the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from benchmarks.frameworks.catalog import FRAMEWORKS, PROGRAMS
from benchmarks.frameworks.checks import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "frameworks.md"
MAX_LINES = 25
#: Blank lines, comments and the docstring, which only names the packages, do not count.
_NOT_CODE = re.compile(r'^\s*(#.*|//.*|""".*""")?$')
_FILES = sorted(path.name for path in PROGRAMS.iterdir() if path.suffix in {".py", ".ts"})


@pytest.mark.parametrize("name", _FILES)
def test_a_program_has_at_most_25_lines(name: str) -> None:
    lines = (PROGRAMS / name).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not _NOT_CODE.match(line)]) <= MAX_LINES


@pytest.mark.parametrize("name", [name for name in _FILES if name.endswith(".py")])
def test_a_python_program_compiles(name: str) -> None:
    tree = ast.parse((PROGRAMS / name).read_text(encoding="utf-8"), name)
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("name", _FILES)
def test_a_program_starts_the_server_or_connects_to_one(name: str) -> None:
    text = (PROGRAMS / name).read_text(encoding="utf-8")
    assert re.search(r'"sightline",? .*\["serve"\]', text)
    assert "MCP_URL" in text


@pytest.mark.parametrize("name", _FILES)
def test_the_page_contains_each_program(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"docs/examples/frameworks/{name}" in page
    assert f"\n{(PROGRAMS / name).read_text(encoding='utf-8').rstrip()}\n```" in page


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_of_the_matrix_is_on_the_page(name: str) -> None:
    framework = FRAMEWORKS[name]
    assert framework.path.name in _FILES
    assert f"| {framework.title} |" in PAGE.read_text(encoding="utf-8")


def test_every_program_belongs_to_a_framework() -> None:
    assert {framework.path.name for framework in FRAMEWORKS.values()} == set(_FILES)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_known_fault_names_the_upstream_issue(name: str) -> None:
    for check, fault in FRAMEWORKS[name].faults.items():
        assert check in CHECKS
        assert re.search(r"https://github\.com/[\w-]+/[\w-]+/issues/\d+", fault)
