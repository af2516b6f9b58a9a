"""Edits of JSON files keep every other character."""

from __future__ import annotations

import json

import pytest

from sightline.server.cli.connect.jsonc_edit import parse_jsonc, remove_member, set_member

COMMENTED = """\
// of the user
{
  /* before */ "theme": "dark", // "not": "a member",
  "servers": {
    // a server: {"x": 1},
    "other": {"command": "x", "args": ["a, }", "b//c"]}, // stays
    "last": {}, // with a trailing comma
  },
}
"""
ENTRY = {"command": "/opt/a b/sightline", "args": ["serve"]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{ }\n",
        '{"a": 1}',
        '{"a": 1, "servers": {}}',
        '{"servers": {"other": {"n": [1, {"x": "}"}]}}, "z": "\\"}"}',
        '{\n\t"a": 1\n}\n',
        '{\r\n    "a": 1\r\n}\r\n',
        '{"servers": {/* none */}}',
        '{\n  "servers": {\n    // none yet\n  }\n}\n',
        COMMENTED,
    ],
)
def test_a_member_is_added_replaced_and_removed(text: str) -> None:
    before = parse_jsonc(text)
    added = set_member(text, "servers", "mine", ENTRY)
    assert parse_jsonc(added) == {
        **before,
        "servers": {**before.get("servers", {}), "mine": ENTRY},
    }
    assert set_member(added, "servers", "mine", ENTRY) == added
    replaced = set_member(added, "servers", "mine", {"command": "y"})
    assert parse_jsonc(replaced)["servers"]["mine"] == {"command": "y"}
    removed = remove_member(replaced, "servers", "mine")
    assert parse_jsonc(removed) == {**before, "servers": before.get("servers", {})}
    assert remove_member(removed, "servers", "mine") == removed


def test_comments_order_and_format_stay() -> None:
    added = set_member(COMMENTED, "servers", "mine", {"a": 1})
    lines = added.splitlines()
    assert [line for line in COMMENTED.splitlines() if line not in lines] == []
    assert lines[7:10] == ['    "mine": {', '      "a": 1', "    }"]
    assert remove_member(added, "servers", "mine") == COMMENTED.replace("{}, // with", "{} // with")


def test_any_member_is_removed_with_its_line_only() -> None:
    text = '{\n  "servers": {\n    "a": {},\n    "b": {}, // b\n    "c": {}\n  }\n}\n'
    assert remove_member(text, "servers", "a") == text.replace('    "a": {},\n', "")
    assert json.loads(remove_member(text, "servers", "c").replace("// b", "")) == {
        "servers": {"a": {}, "b": {}}
    }
    assert "// b" in remove_member(text, "servers", "b")


def test_windows_line_ends_and_tabs_are_kept() -> None:
    added = set_member('{\r\n\t"a": 1\r\n}\r\n', "servers", "mine", {"b": 2})
    assert "\n" not in added.replace("\r\n", "")
    assert '\r\n\t"servers": {\r\n\t\t"mine": {' in added


@pytest.mark.parametrize(
    "text", ["[]", "3", "{", '{"servers": [1]}', '{"servers": 5}', "{'a': 1}", '{"a": 1} x', "null"]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        set_member(text, "servers", "mine", ENTRY)
