"""Print figures of the code structure, for one or two revisions side by side.

``python -m benchmarks.structure`` measures the working tree.
``python -m benchmarks.structure REVISION`` prints that revision beside the working tree.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("client", "server", "tools", "storage")
MAX_DOCSTRING_CHARS = 80
MAX_MODULES_PER_FOLDER = 12


@dataclass(frozen=True)
class Module:
    """One Python module: its path below the root, source text and syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of physical lines."""
        return len(self.text.splitlines())


def modules(root: Path) -> list[Module]:
    """Return all modules of client, server, tools and storage below ``root``."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return [Module(path.relative_to(root), text, ast.parse(text)) for path, text in texts]


def duplicate_basenames(found: list[Module]) -> list[str]:
    """Return module basenames that occur more than once, without ``__init__`` and ``__main__``."""
    names = Counter(each.path.stem for each in found if not each.path.stem.startswith("__"))
    return sorted(name for name, count in names.items() if count > 1)


def public_classes(found: list[Module]) -> Counter[str]:
    """Count the names of top-level public classes."""
    return Counter(
        node.name
        for each in found
        for node in each.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


def modules_per_folder(found: list[Module]) -> Counter[Path]:
    """Count the modules of each folder, without ``__init__``."""
    return Counter(each.path.parent for each in found if each.path.stem != "__init__")


def long_docstrings(found: list[Module]) -> list[str]:
    """Return ``path:line`` of docstrings whose first line has more than 80 characters."""
    places = []
    for each in found:
        for node in ast.walk(each.tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and len(text.splitlines()[0]) > MAX_DOCSTRING_CHARS:
                    places.append(f"{each.path}:{getattr(node, 'lineno', 1)}")
    return places


def import_lines(found: list[Module]) -> int:
    """Count the physical lines of import statements."""
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for each in found
        for node in ast.walk(each.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


def settings_count(found: list[Module]) -> int:
    """Count the settings that an operator can set: fields of the settings classes."""
    classes = {
        node.name: node
        for each in found
        if each.path.parts[:2] == ("server", "config") or each.path.stem == "settings"
        for node in each.tree.body
        if isinstance(node, ast.ClassDef)
        and (node.name.endswith("Settings") or node.name.startswith("_"))
    }

    def fields(name: str) -> int:
        total = 0
        for node in classes[name].body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                group = re.findall(r"\w+", ast.unparse(node.annotation))
                nested = [word for word in group if word in classes]
                total += fields(nested[0]) if nested else 1
        bases = [ast.unparse(base) for base in classes[name].bases]
        return total + sum(fields(base) for base in bases if base in classes)

    return fields("Settings") if "Settings" in classes else 0


def modules_on_search_path(found: list[Module]) -> int:
    """Count the storage.retrieval modules that ``image_search`` reaches by imports.

    These are the modules between the tool ``search_images`` and its SQL. Type-only modules
    count too.
    """
    by_name = {".".join(("sightline", *each.path.with_suffix("").parts)): each for each in found}
    start = next((name for name in by_name if name.endswith("retrieval.image_search")), None)
    seen: set[str] = set()
    queue = [start] if start else []
    while queue:
        name = queue.pop()
        if name in seen or name not in by_name or ".retrieval." not in name:
            continue
        seen.add(name)
        for node in ast.walk(by_name[name].tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                queue.append(node.module)
                queue.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return len([name for name in seen if not name.endswith("__init__")])


def figures(root: Path) -> dict[str, str]:
    """Measure the tree below ``root``."""
    found = modules(root)
    lines = [each.lines for each in found]
    total = sum(lines)
    largest = max(found, key=lambda each: each.lines)
    folder, count = modules_per_folder(found).most_common(1)[0]
    named = [each for each in found if each.path.stem != "__init__"]
    return {
        "modules": f"{len(named)}",
        "lines": f"{total:,}",
        "median module, lines": f"{statistics.median(each.lines for each in named):g}",
        "largest module, lines": f"{largest.lines} ({largest.path.name})",
        "duplicate basenames": f"{len(duplicate_basenames(found))}",
        "duplicate public classes": f"{sum(n > 1 for n in public_classes(found).values())}",
        "most modules in a folder": f"{count} ({folder})",
        "import lines, share": f"{import_lines(found) / total:.1%}",
        "retrieval modules that a search imports": f"{modules_on_search_path(found)}",
        "settings": f"{settings_count(found)}",
        "docstring first lines above 80": f"{len(long_docstrings(found))}",
    }


def _export(revision: str, folder: Path) -> None:
    list_packages = ["git", "ls-tree", "--name-only", revision, *PACKAGES]
    listed = subprocess.run(list_packages, cwd=ROOT, check=True, capture_output=True, text=True)
    archive = subprocess.run(
        ["git", "archive", revision, *listed.stdout.split()],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)


def main() -> None:
    """Print one row per figure and one column per tree."""
    parser = argparse.ArgumentParser(description="Print figures of the code structure.")
    parser.add_argument("revision", nargs="?", help="git revision to compare with")
    revision = parser.parse_args().revision
    columns: dict[str, dict[str, str]] = {}
    if revision:
        with tempfile.TemporaryDirectory() as folder:
            _export(revision, Path(folder))
            columns[revision] = figures(Path(folder))
    columns["working tree"] = figures(ROOT)
    width = max(len(name) for name in columns["working tree"])
    print(" " * width, *(f"{name:>32}" for name in columns))
    for name in columns["working tree"]:
        print(f"{name:<{width}}", *(f"{each[name]:>32}" for each in columns.values()))


if __name__ == "__main__":
    main()
