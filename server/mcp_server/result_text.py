"""Remove hidden characters from everything that tools and resources return.

A model reads what a person does not see: tag characters spell instructions, a bidirectional
override reverses a name, an escape sequence hides a line. Captions, names, metadata and texts come
from untrusted files, so the result says how many characters were removed and where.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Sequence
from typing import Any, Final

from mcp.types import CallToolResult, ContentBlock, TextContent

from sightline.storage.text.hidden_characters import remove_and_count_hidden, remove_hidden

JSON_TYPE: Final = "application/json"
#: The field of every result that tells about removed characters.
NOTES: Final = "notes"
#: Fields whose keys are not ours. Keys inside of them are not named in the note.
_FOREIGN_KEYS: Final = frozenset({"metadata", "rows"})
_FIELD_NAME: Final = re.compile(r"[a-z][a-z_]{0,30}")


def clean_result(result: CallToolResult) -> CallToolResult:
    """Return the result without hidden characters; its notes tell if there were any."""
    data = result.structured_content or _json_object(result.content)
    if data is None:
        blocks: list[ContentBlock] = [_clean_block(block) for block in result.content]
        return result.model_copy(update={"content": blocks})
    cleaned = _clean_object(data)
    if cleaned == data:
        return result
    _, *images = result.content
    content = [TextContent(type="text", text=_compact(cleaned)), *images]
    structured = None if result.structured_content is None else cleaned
    return result.model_copy(update={"content": content, "structured_content": structured})


def _json_object(content: Sequence[ContentBlock]) -> dict[str, Any] | None:
    """Return the object that the first text block of a result with images contains."""
    first = content[0] if content else None
    if not isinstance(first, TextContent) or not first.text.startswith("{"):
        return None
    try:
        value: dict[str, Any] = json.loads(first.text)
    except ValueError:
        return None
    return value


def clean_text(text: str, mime_type: str | None = None) -> str:
    """Return the text of a resource or an error without hidden characters."""
    if mime_type != JSON_TYPE:
        return remove_hidden(text)
    return _compact(_clean_object(json.loads(text)))


def _clean_block(block: ContentBlock) -> ContentBlock:
    if isinstance(block, TextContent):
        return block.model_copy(update={"text": remove_hidden(block.text)})
    return block


def _clean_object(data: dict[str, Any]) -> dict[str, Any]:
    removed: Counter[str] = Counter()
    cleaned: dict[str, Any] = _clean(data, "", removed)
    if removed:
        fields = ", ".join(f"{count:,} in {field}" for field, count in removed.items())
        note = f"hidden characters (zero-width, bidirectional or control) were removed: {fields}"
        cleaned[NOTES] = [*cleaned.pop(NOTES, ()), note]
    return cleaned


def _clean(value: Any, field: str, removed: Counter[str]) -> Any:
    if isinstance(value, str):
        text, count = remove_and_count_hidden(value)
        if count:
            removed[field] += count
        return text
    if isinstance(value, list):
        return [_clean(item, field, removed) for item in value]
    if not isinstance(value, dict):
        return value
    is_foreign = field.rpartition(".")[2] in _FOREIGN_KEYS
    names = set(value)  # a key without hidden characters keeps its name
    cleaned: dict[str, Any] = {}
    for key, item in value.items():
        name = _clean(key, field, removed)
        if name != key:
            name = _unique(name, names)
            names.add(name)
        is_ours = not is_foreign and _FIELD_NAME.fullmatch(key)
        path = f"{field}.{key}".removeprefix(".") if is_ours else field
        cleaned[name] = _clean(item, path, removed)
    return cleaned


def _unique(name: str, names: Container[str]) -> str:
    number = 1
    unique = name
    while unique in names:
        number += 1
        unique = f"{name} ({number})"
    return unique


def _compact(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
