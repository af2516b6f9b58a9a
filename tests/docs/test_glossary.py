"""The glossary has unique terms and names existing modules."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+?) \| [^|]+ \| `([^`]+)` \|$",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_each_module_of_the_glossary_exists() -> None:
    assert len(ROWS) > 30
    assert [path for _, path in ROWS if not (ROOT / path).is_file()] == []


def test_a_term_is_defined_once() -> None:
    terms = [term.lower() for term, _ in ROWS]
    assert len(set(terms)) == len(terms)
