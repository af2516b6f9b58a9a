"""The matrix as Markdown, and what it contains that the catalog does not expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from benchmarks.frameworks.catalog import FRAMEWORKS
from benchmarks.frameworks.checks import CHECKS
from benchmarks.frameworks.matrix import Row

_HEADINGS = {
    "list": "list",
    "convert": "convert",
    "call": "call",
    "image": "image reaches the model",
    "error": "readable error",
    "filters": "typed filters",
    "null": "null accepted",
}


def print_matrix(rows: Sequence[Row], versions: Mapping[str, str]) -> None:
    """Print one line for each framework, with both transports."""
    headings = [_HEADINGS[check] for check in CHECKS]
    columns = ["Framework", "Version", *headings, "tools, tokens", "search result, tokens"]
    print(f"\n| {' | '.join(columns)} |")
    print("|" + "---|" * len(columns))
    by_name = {name: list(group) for name, group in groupby(rows, lambda row: row.framework)}
    for name, version in versions.items():
        group = by_name.get(name, [])
        cells = [_cell(check, group) for check in CHECKS]
        cells += [_tokens([row.list_tokens for row in group])]
        cells += [_tokens([row.result_tokens for row in group])]
        print(f"| {FRAMEWORKS[name].title} | {version} | {' | '.join(cells)} |")
    print()
    for name, version in versions.items():
        for check, fault in FRAMEWORKS[name].faults.items():
            print(f"- {FRAMEWORKS[name].title}, {_HEADINGS[check]}: {fault}")
        if version.startswith("not installed"):
            print(f"- {FRAMEWORKS[name].title}: {version}")


def unexpected(rows: Sequence[Row]) -> list[str]:
    """Return failures that are not known, and known failures that are gone."""
    lines = []
    for row in rows:
        faults = FRAMEWORKS[row.framework].faults
        for check, outcome in row.outcomes.items():
            at = f"{row.framework} over {row.transport}, {check}"
            if not outcome.passed and check not in faults:
                lines.append(f"unexpected failure: {at}: {outcome.detail}")
            elif outcome.passed and check in faults:
                lines.append(f"passes now; remove the fault from the catalog: {at}")
    return lines


def _cell(check: str, rows: Sequence[Row]) -> str:
    """Return yes or no, or each transport by name if they differ."""
    passed = {row.transport: row.outcomes[check].passed for row in rows}
    if not passed:
        return "-"
    if len(set(passed.values())) == 1:
        return "yes" if all(passed.values()) else "**no**"
    return ", ".join(f"{where}: {'yes' if ok else '**no**'}" for where, ok in passed.items())


def _tokens(counts: Sequence[int | None]) -> str:
    known = sorted({count for count in counts if count is not None})
    return " / ".join(f"{count:,}" for count in known) or "-"
