"""Links, commands, settings and make targets in the documentation exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.server.cli import build_parser
from sightline.server.config.settings_reference import list_settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
MAX_README_LINES = 180
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^ *(?:\.venv/bin/)?(sightline [a-z][^\n#>]*)", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the heading anchors of a page, as GitHub and MkDocs derive them."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", text), re.MULTILINE)
    return {
        re.sub(r"[ \t]", "-", re.sub(r"[^\w\- ]", "", each.replace("`", "").lower()))
        for each in headings
    }


@pytest.mark.parametrize("page", TEXTS)
def test_each_internal_link_leads_somewhere(page: str) -> None:
    broken = []
    links = re.findall(r"\]\((?!https?:|mailto:)([^)\s]*)\)", _FENCE.sub("", TEXTS[page]))
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    assert broken == []


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) < MAX_README_LINES


@pytest.mark.parametrize("page", TEXTS)
def test_each_command_line_parses(page: str) -> None:
    parser = build_parser()
    code = "\n".join(_FENCE.findall(TEXTS[page]))
    for line in _COMMAND.findall(code):
        parser.parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("page", TEXTS)
def test_each_setting_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"\bSIGHTLINE_[A-Z0-9_]*[A-Z0-9]", TEXTS[page]))
    known = {row.variable for row in list_settings()} | {"SIGHTLINE_CONFIG", "SIGHTLINE_TEST_ROLE"}
    assert named - known == set()


@pytest.mark.parametrize("page", TEXTS)
def test_each_make_target_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", TEXTS[page], re.MULTILINE))
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_each_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")}
    assert {page for page in pages if f": {page}\n" not in navigation} == set()


def test_the_site_is_built_without_warnings(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    assert (tmp_path / "how-to" / "ingest.html").exists()
    pages = "".join(page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html"))
    assert re.findall(r'(?:src|href)="https?://(?:cdn|fonts|unpkg)[^"]*"', pages) == []


@pytest.mark.parametrize("page", [page for page in TEXTS if not page.endswith("design.md")])
def test_each_path_that_a_page_names_exists(page: str) -> None:
    top_level = "server|tools|storage|tests|training|migrations|benchmarks|docs"
    named = set(re.findall(rf"`((?:{top_level})/[\w./-]*\w/?)`", TEXTS[page]))
    invented = {path for path in named if "my_" in path or "000N" in path or path == "tools/list"}
    assert {path for path in named - invented if not (ROOT / path).exists()} == set()
