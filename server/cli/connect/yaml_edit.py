"""Edit one entry of a mapping in a YAML file and keep all other lines.

The parser gives the lines of the entries, and only whole lines are added and removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

_INDENT = 2


def parse_yaml(text: str) -> dict[str, Any]:
    """Parse a mapping; an empty text is an empty mapping. Raises ValueError."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if content is not None and not isinstance(content, dict):
        raise ValueError("is not a mapping")
    return content or {}


def set_item(text: str, section: str, name: str, value: Mapping[str, Any]) -> str:
    """Return the text with ``value`` at ``section.name``."""
    text = _without(text, section, name)
    lines = _lines(text)
    found = _item(text, section)
    if found is None:
        return "".join([*lines, *_render({section: {name: value}}, 0)])
    key, mapping = found
    line = key.start_mark.line
    if isinstance(mapping, yaml.MappingNode) and mapping.value:  # before its first item
        column = mapping.value[0][0].start_mark.column
    else:  # nothing, or {}
        column = key.start_mark.column + _INDENT
        lines[line] = lines[line].replace("{}", "", 1)
    return "".join([*lines[: line + 1], *_render({name: value}, column), *lines[line + 1 :]])


def remove_item(text: str, section: str, name: str) -> str:
    """Return the text without ``section.name``; an empty section becomes ``{}``."""
    text = _without(text, section, name)
    found = _item(text, section)
    if found is None or found[1].value or "{}" in _lines(text)[found[0].start_mark.line]:
        return text
    colon = text.index(":", found[0].end_mark.index)
    return f"{text[: colon + 1]} {{}}{text[colon + 1 :]}"


def _without(text: str, section: str, name: str) -> str:
    found = _item(text, section)
    mapping = found[1] if found is not None else None
    for key, value in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
        if key.value == name:
            lines = _lines(text)
            del lines[key.start_mark.line : max(key.start_mark.line, _last_line(value)) + 1]
            return "".join(lines)
    return text


def _item(text: str, key: str) -> tuple[Any, Any] | None:
    """Return the nodes of a key of the root and of its value, if both exist."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    items = root.value if isinstance(root, yaml.MappingNode) else []
    for found, value in items:
        if found.value == key:
            return found, value
    return None


def _last_line(node: Any) -> int:
    """Return the last line of a node; its own end includes comments behind it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        end = node.end_mark
        return int(end.line if end.column else end.line - 1)
    last = node.value[-1]
    return max(map(_last_line, last)) if isinstance(last, tuple) else _last_line(last)


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += "\n"
    return lines


def _render(value: object, column: int) -> list[str]:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1 << 20)
    return [" " * column + line for line in text.splitlines(keepends=True)]
