"""Test ids do not depend on time or process, so xdist workers agree."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
#: Calls whose value differs between times or processes.
CHANGING = {
    "time",
    "time_ns",
    "monotonic",
    "now",
    "today",
    "utcnow",
    "uuid4",
    "token_hex",
    "getpid",
}


def test_parameters_do_not_depend_on_time_or_process() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{call.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        if "node_modules" not in path.parts
        for mark in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(mark, ast.Call) and _name(mark) == "parametrize"
        for call in ast.walk(mark)
        if isinstance(call, ast.Call) and _name(call) in CHANGING
    ]
    assert found == []


def _name(call: ast.Call) -> str:
    """Return ``time`` for ``time()`` and for ``time.time()``."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
