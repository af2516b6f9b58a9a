"""The README says what is so: each setting, command and tool is in it, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mcp.server.mcpserver import MCPServer

from sightline.server.cli import build_parser
from sightline.server.cli.command_table import GROUPS
from sightline.server.config.settings_reference import list_settings
from sightline.tools.registry import register_all, register_analytics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_settings_of_the_readme_are_up_to_date() -> None:
    table = README.split("<!-- settings -->")[1].split("<!-- /settings -->")[0].strip()
    rows = {f"| `{row.variable}` | {row.default} | {row.description} |" for row in list_settings()}
    assert len(table.splitlines()[2:]) == 10
    assert set(table.splitlines()[2:]) <= rows


def test_each_command_is_in_the_readme() -> None:
    section = README.split("\n## Commands\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (`.*`) \|$", section, re.MULTILINE)
    listed = {group: re.findall(r"`([\w-]+)`", names) for group, names in rows}
    assert listed == {group: [each.name for each in commands] for group, commands in GROUPS.items()}


async def test_each_tool_is_in_the_readme() -> None:
    mcp: MCPServer = MCPServer("readme")
    register_all(mcp)
    register_analytics(mcp)
    listed = set(re.findall(r"^\| `(\w+)` \| (?:read|write|analytics)", README, re.MULTILINE))
    assert listed == {tool.name for tool in await mcp.list_tools()}


@pytest.mark.parametrize(
    "line",
    sorted(set(re.findall(r"^(?:\.venv/bin/)?sightline [^\n#]+", README, re.MULTILINE))),
)
def test_each_command_line_of_the_readme_parses(line: str) -> None:
    import shlex

    build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_each_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_each_link_of_the_docs_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
