"""Edit one member of a JSON file and keep all other characters, also comments.

Editors accept JSON with comments and trailing commas. To find a place in such a text, both are
replaced by spaces: the positions stay, and the rest is plain JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])')
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class _Member:
    """Positions of a member of an object in the text."""

    key: str
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    start: int
    end: int  # of the closing bracket
    members: tuple[_Member, ...]

    def find(self, key: str) -> _Member | None:
        return next((each for each in reversed(self.members) if each.key == key), None)


def parse_jsonc(text: str) -> dict[str, Any]:
    """Parse an object; an empty text is an empty object. Raises ValueError."""
    value = json.loads(_without_comments(text)) if text.strip() else {}
    if not isinstance(value, dict):
        raise ValueError(f"is a JSON {type(value).__name__}; it must be an object")
    return value


def set_member(text: str, section: str, name: str, value: object) -> str:
    """Return the text with ``value`` at ``section.name``. Raises ValueError."""
    if not text.strip():
        text = "{}\n"
    parse_jsonc(text)
    root = _object(_without_comments(text))
    outer = root.find(section)
    if outer is None:
        return _insert(text, root, 0, section, {name: value})
    inner = _section(text, outer)
    existing = inner.find(name)
    if existing is None:
        return _insert(text, inner, 1, name, value)
    return text[: existing.value_start] + _dumps(text, value, 2) + text[existing.end :]


def remove_member(text: str, section: str, name: str) -> str:
    """Return the text without ``section.name``. Raises ValueError."""
    if name not in parse_jsonc(text).get(section, {}):
        return text
    clean = _without_comments(text)
    outer = _object(clean).find(section)
    members = _section(text, outer).members if outer else ()
    index = next(i for i in reversed(range(len(members))) if members[i].key == name)
    member = members[index]
    start, end = member.start, member.end
    if index + 1 < len(members):
        end = clean.index(",", end) + 1
    elif (comma := _own_comma(text, clean, member)) is not None:
        end = comma + 1
    elif index:  # the comma before it would be a trailing one
        comma = clean.index(",", members[index - 1].end)
        text = text[:comma] + text[comma + 1 :]
        start, end = start - 1, end - 1
    line_start = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*\r?\n").match(text, end)
    if not text[line_start:start].strip() and rest:
        start, end = line_start, rest.end()
    return text[:start] + text[end:]


def _without_comments(text: str) -> str:
    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return found if found.startswith('"') else re.sub(r"[^\r\n]", " ", found)

    return _TRAILING_COMMA.sub(blank, _COMMENT.sub(blank, text))


def _object(clean: str, start: int | None = None) -> _Object:
    """Return the positions of the members of an object in valid JSON without comments."""
    start = clean.index("{") if start is None else start
    members: list[_Member] = []
    position = _skip(clean, start + 1)
    while clean[position] != "}":
        key = _STRING.match(clean, position)
        if key is None:  # the text was parsed before
            raise ValueError(f"has no key at character {position}")
        value_start = _skip(clean, clean.index(":", key.end()) + 1)
        end = _value_end(clean, value_start)
        members.append(_Member(json.loads(key[0]), position, value_start, end))
        position = _skip(clean, end)
        if clean[position] == ",":
            position = _skip(clean, position + 1)
    return _Object(start, position, tuple(members))


def _section(text: str, member: _Member) -> _Object:
    if text[member.value_start] != "{":
        raise ValueError(f"has {member.key!r}, which is not an object")
    return _object(_without_comments(text), member.value_start)


def _value_end(clean: str, start: int) -> int:
    depth, position = 0, start
    while True:
        character = clean[position]
        if character == '"':
            match = _STRING.match(clean, position)
            position = match.end() if match else len(clean)
        elif depth == 0 and (character in ",}]" or character.isspace()):
            return position
        else:
            depth += (character in "{[") - (character in "}]")
            position += 1
        if depth == 0 and clean[position - 1] in '"}]':
            return position


def _skip(clean: str, position: int) -> int:
    while clean[position].isspace():
        position += 1
    return position


def _own_comma(text: str, clean: str, member: _Member) -> int | None:
    """Return the position of the trailing comma behind the last member."""
    for position in range(member.end, _skip(clean, member.end)):
        if text[position] == "," and clean[position] == " " and not _in_comment(text, position):
            return position
    return None


def _in_comment(text: str, position: int) -> bool:
    return any(
        match.start() <= position < match.end()
        for match in _COMMENT.finditer(text)
        if not match[0].startswith('"')
    )


def _insert(text: str, target: _Object, depth: int, key: str, value: object) -> str:
    """Append a member to an object that is ``depth`` levels deep."""
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = _indent(text)
    member = f"{indent * (depth + 1)}{json.dumps(key)}: {_dumps(text, value, depth + 1)}"
    tail = f"{newline}{member}{newline}{indent * depth}{text[target.end :]}"
    if not target.members:
        return text[: target.end].rstrip() + tail
    last = target.members[-1]
    has_comma = _own_comma(text, _without_comments(text), last) is not None
    rest = text[last.end : target.end].rstrip()
    return f"{text[: last.end]}{'' if has_comma else ','}{rest}{tail}"


def _dumps(text: str, value: object, depth: int) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = _indent(text)
    lines = json.dumps(value, indent=indent, ensure_ascii=False).split("\n")
    return (newline + indent * depth).join(lines)


def _indent(text: str) -> str:
    """Return the indentation of the first member, or else two spaces."""
    root = _object(_without_comments(text))
    start = root.members[0].start if root.members else 0
    line_start = text.rfind("\n", 0, start) + 1
    own_line = _SPACES.match(text, line_start) if line_start > root.start else None
    return own_line[0] if own_line else "  "
