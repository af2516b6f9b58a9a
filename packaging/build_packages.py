"""Build everything that is published: wheel, MCP bundle, registry entry, install links, skill.

``python packaging/build_packages.py`` writes to ``build/packages``. Name and version come from
``pyproject.toml`` only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "packaging"
#: `name==version ; marker` of a line of requirements.lock.
_PINNED = re.compile(r"^([\w.-]+(?:\[[\w,-]+\])?==[^\s\\;]+)(\s*;[^\\\n]*)?", re.MULTILINE)
#: The earliest time of a ZIP archive: equal inputs give equal files.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Project:
    """What ``pyproject.toml`` states about the package."""

    name: str
    version: str
    description: str
    keywords: tuple[str, ...]
    license: str

    @classmethod
    def load(cls) -> Project:
        table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        keywords = tuple(table["keywords"])
        return cls(
            table["name"], table["version"], table["description"], keywords, table["license"]
        )


def build_wheel(folder: Path) -> Path:
    """Build the wheel from the files that git knows, and return its path.

    A build in the working tree would also pack what an earlier one left in ``build/lib``. A warning
    of setuptools is an error.
    """
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    with tempfile.TemporaryDirectory(prefix="sightline-wheel-") as name:
        tree = Path(name)
        for path in filter(None, listed.split("\0")):
            if (ROOT / path).is_symlink() or (ROOT / path).is_file():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
        subprocess.run(
            [sys.executable, "-W", "error", "-c", _BUILD_WHEEL, str(folder)],
            cwd=tree,
            check=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct").strip()},
            stdout=subprocess.DEVNULL,
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


_BUILD_WHEEL = """
import sys
from setuptools import build_meta
build_meta.build_wheel(sys.argv[1])
"""


def manifest(project: Project) -> dict[str, Any]:
    """Return the manifest of the MCP bundle, with the tools of this version."""
    table = json.loads((SOURCES / "mcpb" / "manifest.json").read_text(encoding="utf-8"))
    return {
        **table,
        "version": project.version,
        "description": project.description,
        "license": project.license,
        "keywords": list(project.keywords),
        "tools": asyncio.run(_tools()),
    }


async def _tools() -> list[dict[str, str]]:
    from mcp.server.mcpserver import MCPServer

    from sightline.tools.registry import register_all

    server: MCPServer = MCPServer("bundle")
    register_all(server)
    return [
        {"name": tool.name, "description": " ".join((tool.description or "").split())}
        for tool in await server.list_tools()
    ]


def bundle_project(project: Project, wheel: str) -> str:
    """Return the ``pyproject.toml`` of the MCP bundle.

    It installs the wheel beside it, and everything else in the pinned versions.
    """
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = [f"{name}{(marker or '').rstrip()}" for name, marker in _PINNED.findall(lock)]
    return "\n".join(
        (
            "[project]",
            'name = "sightline-bundle"',
            f'version = "{project.version}"',
            'requires-python = ">=3.11"',
            f'dependencies = ["{project.name}"]',
            "",
            "[tool.uv]",
            "package = false",
            "constraint-dependencies = [",
            *(f"    {json.dumps(each)}," for each in pinned),
            "]",
            "",
            "[tool.uv.sources]",
            f"{project.name} = {{ path = {json.dumps(wheel)} }}",
            "",
        )
    )


def build_bundle(folder: Path, project: Project, wheel: Path) -> Path:
    """Write the MCP bundle for desktop applications, and return its path."""
    bundle = folder / f"sightline-{project.version}.mcpb"
    texts = {
        "manifest.json": _json(manifest(project)),
        "pyproject.toml": bundle_project(project, wheel.name),
        "src/main.py": (SOURCES / "mcpb" / "main.py").read_text(encoding="utf-8"),
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
    }
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, text in texts.items():
            archive.writestr(_zip_entry(name), text)
        # A wheel is compressed already.
        entry = _zip_entry(wheel.name, zipfile.ZIP_STORED)
        archive.writestr(entry, wheel.read_bytes())
    return bundle


def registry_entry(project: Project) -> dict[str, Any]:
    """Return the entry of the MCP registry, ``server.json``."""
    table = json.loads((SOURCES / "registry" / "server.json").read_text(encoding="utf-8"))
    packages = [
        {**each, "identifier": project.name, "version": project.version}
        for each in table["packages"]
    ]
    return {**table, "version": project.version, "packages": packages}


def build_skill(folder: Path, project: Project) -> Path:
    """Write the skill for agents as an archive, and return its path."""
    archive_path = folder / f"sightline-skill-{project.version}.zip"
    with zipfile.ZipFile(archive_path, "w") as archive:
        for path in sorted((SOURCES / "skill").rglob("*")):
            if path.is_file():
                name = path.relative_to(SOURCES / "skill").as_posix()
                archive.writestr(_zip_entry(name), path.read_bytes())
    return archive_path


def cursor_link(name: str, entry: dict[str, Any]) -> str:
    """Return the page that adds a server to Cursor."""
    config = base64.b64encode(json.dumps(entry, separators=(",", ":")).encode()).decode()
    return f"https://cursor.com/en/install-mcp?{urlencode({'name': name, 'config': config})}"


def vscode_link(name: str, entry: dict[str, Any]) -> str:
    """Return the page that adds a server to VS Code.

    GitHub removes links with the scheme ``vscode``, so the page redirects.
    """
    config = json.dumps({"name": name, **entry}, separators=(",", ":"))
    target = f"vscode:mcp/install?{quote(config, safe='')}"
    return f"https://insiders.vscode.dev/redirect?{urlencode({'url': target})}"


def release_notes(project: Project, bundle: str) -> str:
    """Return the installation part of the notes of a release."""
    entry = {"command": "uvx", "args": [f"{project.name}=={project.version}", "serve"]}
    return "\n".join(
        (
            f"# Install Sightline {project.version}",
            "",
            "| client | how |",
            "|---|---|",
            f"| Claude Desktop | open `{bundle}` |",
            f"| Cursor | [install]({cursor_link('sightline', {'type': 'stdio', **entry})}) |",
            f"| VS Code | [install]({vscode_link('sightline', {'type': 'stdio', **entry})}) |",
            f"| Claude Code | `claude mcp add sightline -- {' '.join(['uvx', *entry['args']])}` |",
            "",
        )
    )


def build_all(folder: Path) -> list[Path]:
    """Build everything, replace ``folder`` by it, and return the files."""
    project = Project.load()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packages-", dir=folder.parent) as name:
        new = Path(name) / "packages"
        new.mkdir()
        wheel = build_wheel(new)
        bundle = build_bundle(new, project, wheel)
        build_skill(new, project)
        (new / "server.json").write_text(_json(registry_entry(project)), encoding="utf-8")
        (new / "INSTALL.md").write_text(release_notes(project, bundle.name), encoding="utf-8")
        sums = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(new.iterdir())
        ]
        (new / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
    return sorted(folder.iterdir())


def _zip_entry(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """Return an entry that every account may read."""
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    return entry


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def main() -> None:
    """Build everything and print the paths."""
    parser = argparse.ArgumentParser(description="Build everything that is published.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "packages")
    for path in build_all(parser.parse_args().output):
        print(path)


if __name__ == "__main__":
    main()
