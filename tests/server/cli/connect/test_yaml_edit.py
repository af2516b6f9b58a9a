"""Edits of YAML files keep every other line."""

from __future__ import annotations

from typing import Any

import pytest

from sightline.server.cli.connect.yaml_edit import parse_yaml, remove_item, set_item

ENTRY: dict[str, Any] = {
    "type": "stdio",
    "cmd": "/opt/a b/sightline",
    "args": ["serve"],
    "envs": {"A": "yes", "B": "007", "C": "a: #b"},
    "env_keys": [],
}
INDENTED = """\
# Model
GOOSE_PROVIDER: "anthropic"   # quoted

GOOSE_SEARCH_PATHS:
  - "/usr/local/bin"
  -   '~/tools'
extensions:  # mine
  # built in
  developer:
    args:
      - x   # stays

  # before memory
  memory: {timeout: 300, text: 'it''s'}
# at the end
slash_commands:
- command: "run"
  text: |
    # no comment
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        "a: 1",
        INDENTED,
        INDENTED.replace("    args:\n      - x", "    args:\n    - x"),
        "extensions:\n    four:\n        b: 1\nz: 2\n",
        "extensions:\n  last:\n    text: |\n      a\n\n      b\n",
        "a: 1\r\nextensions:\r\n  b:\r\n    c: 1\r\n",
    ],
)
def test_an_item_is_added_replaced_and_removed(text: str) -> None:
    before = parse_yaml(text)
    added = set_item(text, "extensions", "mine", ENTRY)
    assert parse_yaml(added) == {
        **before,
        "extensions": {**before.get("extensions", {}), "mine": ENTRY},
    }
    assert set_item(added, "extensions", "mine", ENTRY) == added
    replaced = set_item(added, "extensions", "mine", {"cmd": "y"})
    assert parse_yaml(replaced)["extensions"]["mine"] == {"cmd": "y"}
    removed = remove_item(replaced, "extensions", "mine")
    assert removed == remove_item(added, "extensions", "mine")
    if "extensions" in before:
        assert removed.rstrip() == text.rstrip()
    else:
        assert parse_yaml(removed) == {**before, "extensions": {}}
        assert removed.startswith(text)


@pytest.mark.parametrize("empty", ["extensions:\n", "extensions: {}\n", "extensions:  {} # none\n"])
def test_an_empty_section_is_filled(empty: str) -> None:
    added = set_item(f"a: 1\n{empty}b: 2\n", "extensions", "mine", ENTRY)
    assert parse_yaml(added) == {"a": 1, "extensions": {"mine": ENTRY}, "b": 2}
    emptied = remove_item(added, "extensions", "mine")
    assert parse_yaml(emptied) == {"a": 1, "extensions": {}, "b": 2}


def test_any_item_is_removed_with_its_lines_only() -> None:
    assert remove_item(INDENTED, "extensions", "memory") == INDENTED.replace(
        "  memory: {timeout: 300, text: 'it''s'}\n", ""
    )
    removed = remove_item(INDENTED, "extensions", "developer")
    assert removed == INDENTED.replace("  developer:\n    args:\n      - x   # stays\n", "")


@pytest.mark.parametrize(
    "text", ["[1]", "a: [", "a: b: c", "- x", "5", "a: !!python/object:os.x {}"]
)
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)
