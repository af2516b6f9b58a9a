"""The suite's own rule: every worker collects the same tests, or none of them runs."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
#: What gives another value at another time or in another process.
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


def test_no_parameter_of_a_test_depends_on_when_it_is_collected() -> None:
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
    """``time`` of both ``time()`` and ``time.time()``."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
