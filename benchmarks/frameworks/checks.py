"""What a framework made of the tools and results, read from the requests to the model."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.frameworks.model_endpoint import Json, ToolCall
from benchmarks.frameworks.tokens import count_tokens

CHECKS = ("list", "convert", "call", "image", "error", "filters", "null")
#: An encoded image: no other text has so long a word.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{1000}")
#: Fields of a message that the model does not read.
_NOT_READ = {"id", "call_id", "tool_call_id", "role", "type", "status"}
#: JPEG as the server sends it, and PNG into which smolagents converts it.
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG")
_SCHEMA_KEYS = ("parameters", "parametersJsonSchema", "parameters_json_schema")


@dataclass(frozen=True)
class Outcome:
    """Result of one check."""

    passed: bool
    detail: str = ""


def script(tools: Sequence[Json], asset: str, cheap: int) -> Mapping[str, ToolCall]:
    """Return the tool calls of the model by check."""
    search = next(tool for tool in tools if tool["name"] == "search_images")
    optional = dict.fromkeys(search["inputSchema"]["properties"])
    blank = {"query": "a bicycle", "filters": "", "like": ""}
    nowhere = {"query": "a bicycle", "collection": "nowhere"}
    price = {"query": "a bicycle", "filters": {"price": {"lte": cheap}}}
    return {
        "call": ToolCall("search_images", {"query": "a bicycle"}),
        "filters": ToolCall("search_images", price),
        "null": ToolCall("search_images", {**optional, "query": "a bicycle"}),
        "blank": ToolCall("search_images", blank),
        "error": ToolCall("search_images", nowhere),
        "image": ToolCall("view_image", {"asset": asset}),
    }


def offered_tools(request: Json) -> list[Json]:
    """Return the tools of a request as name, description and schema."""
    found = []
    for tool in request.get("tools", ()):
        for one in tool.get("functionDeclarations", (tool.get("function", tool),)):
            schema = next((one[key] for key in _SCHEMA_KEYS if one.get(key)), {})
            found.append({"name": one.get("name", ""), "schema": schema, "raw": one})
    return found


def check_list(offered: Sequence[Json], published: Sequence[Json]) -> Outcome:
    """Check that the model gets every tool."""
    names = [tool["name"] for tool in offered]
    missing = [t["name"] for t in published if not any(n.endswith(t["name"]) for n in names)]
    return Outcome(not missing, f"missing: {', '.join(missing)}" if missing else "")


def check_convert(offered: Sequence[Json], published: Sequence[Json]) -> Outcome:
    """Check that no argument and no type was lost."""
    problems = []
    for tool in published:
        match = next((t for t in offered if t["name"].endswith(tool["name"])), None)
        if match is None:
            continue
        got = match["schema"].get("properties", {})
        for name, want in tool["inputSchema"].get("properties", {}).items():
            at = f"{tool['name']}.{name}"
            if name not in got:
                problems.append(f"{at} is missing")
            elif _type(want) not in _types(got[name], match["schema"]):
                problems.append(f"{at}: {_type(want)} became {_types(got[name], match['schema'])}")
            elif _type(want) == "array" and not _items(got[name]).intersection(
                _types(want["items"])
            ):
                problems.append(f"{at}: items lost their type")
        problems += [f"{tool['name']}: {one}" for one in _dangling(match["schema"])]
    return Outcome(not problems, "; ".join(problems[:3]))


def check_call(request: Json | None, call: str) -> Outcome:
    """Check that the model gets the hits."""
    text = "" if request is None else _text(_after(request, call))
    return Outcome("hits" in text and "asset" in text, _short(text))


def check_blank(request: Json | None, call: str, calls: Sequence[Json]) -> Outcome:
    """Check that the server accepts "", unless the framework itself refuses to send it."""
    if request is not None and not any(one.get("filters") == "" for one in calls):
        return Outcome(True, "not sent")
    return check_call(request, call)


def check_filters(request: Json | None, call: str, calls: Sequence[Json], cheap: int) -> Outcome:
    """Check that the server received the number as a number, and only those hits came back."""
    received = [one["filters"] for one in calls if one.get("filters")]
    if not received:
        return Outcome(False, "the server received no filters")
    value = received[-1]
    typed = isinstance(value, dict) and value.get("price") == {"lte": cheap}
    hits = check_call(request, call)
    return Outcome(typed and hits.passed, "" if typed else f"sent {json.dumps(value)[:80]}")


def check_error(request: Json | None, call: str) -> Outcome:
    """Check that the model gets the text of the error."""
    text = "" if request is None else _text(_after(request, call))
    return Outcome("nowhere" in text and "Available" in text, _short(text))


def check_image(request: Json | None, call: str) -> Outcome:
    """Check that the model gets an image, and no image as text."""
    if request is None:
        return Outcome(False, "no request followed")
    parts = _after(request, call)
    as_text = [text for text in _texts(parts) if _holds_base64(text)]
    images = [image for image in _images(parts) if image.startswith(_IMAGE_STARTS)]
    if as_text:
        tokens = sum(map(count_tokens, as_text))
        return Outcome(False, f"base64 as text, {tokens} tokens")
    if not images:
        return Outcome(False, "no image")
    if any(message.get("role") == "tool" and list(_images(message)) for message in parts):
        return Outcome(False, "image in a message of role 'tool', which OpenAI rejects")
    return Outcome(True, f"{len(images[0]) // 1024} KiB")


def result_tokens(request: Json | None, call: str) -> int | None:
    """Count the tokens of a result as the model gets it."""
    return None if request is None else count_tokens("".join(_texts(_after(request, call))))


def _after(request: Json, call: str) -> list[Any]:
    """Return the messages after the tool call with this id, or the last message."""
    messages = request.get("messages") or request.get("input") or request.get("contents") or []
    at = -1
    for index, message in enumerate(messages):
        calls = [one.get("id") for one in message.get("tool_calls") or ()]
        calls += [part.get("functionCall", {}).get("id") for part in message.get("parts") or ()]
        if message.get("type") == "function_call":
            calls.append(message.get("call_id"))
        if call in calls:
            at = index
    if at >= 0:
        return list(messages[at + 1 :])
    return _after_position(messages, int(call.rpartition("_")[2]))


def _after_position(messages: list[Any], number: int) -> list[Any]:
    """Return the messages after the tool call with this number, for frameworks that drop ids."""
    seen = 0
    for index, message in enumerate(messages):
        calls = [p for p in message.get("parts") or () if "functionCall" in p]
        seen += len(calls) + len(message.get("tool_calls") or ())
        if calls and seen == number:
            return list(messages[index + 1 :])
    return list(messages[-1:])


def _text(parts: Any) -> str:
    return "\n".join(_texts(parts))


def _texts(value: Any) -> Iterator[str]:
    """Yield all strings that the model reads, without the data of images."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        read = () if _image_data(value) else value.items()
        for key, one in read:
            if key not in _NOT_READ:
                yield from _texts(one)


def _images(value: Any) -> Iterator[bytes]:
    if isinstance(value, list):
        for one in value:
            yield from _images(one)
    elif isinstance(value, dict):
        data = _image_data(value)
        if data:
            yield data
        else:
            for one in value.values():
                yield from _images(one)


def _image_data(part: Json) -> bytes | None:
    """Return the image of a part of a message in the format of a model API, or None."""
    data: Any = None
    if part.get("type") in {"image_url", "input_image"}:
        url = part.get("image_url")
        data = url.get("url") if isinstance(url, dict) else url
    elif inline := part.get("inlineData") or part.get("inline_data"):
        data = inline.get("data")
    elif part.get("type") == "image" and isinstance(part.get("source"), dict):
        data = part["source"].get("data")
    if not isinstance(data, str):
        return None
    encoded = data.partition(";base64,")[2] if data.startswith("data:") else data
    try:
        return base64.urlsafe_b64decode(encoded.replace("+", "-").replace("/", "_"))
    except (binascii.Error, ValueError):
        return None


def _holds_base64(text: str) -> bool:
    return _BASE64.search(text) is not None


def _type(schema: Json) -> str:
    return str(schema.get("type", "any")).lower()


def _types(schema: Json, root: Json | None = None) -> set[str]:
    """Return the types that a schema allows, except null."""
    if "$ref" in schema and root is not None:
        name = schema["$ref"].rpartition("/")[2]
        return _types(root.get("$defs", {}).get(name, {}), root)
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {str(kind).lower() for kind in kinds} - {"null"}
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    return set().union(*(_types(branch, root) for branch in branches)) - {"null"}


def _items(schema: Json) -> set[str]:
    if "items" in schema:
        return _types(schema["items"])
    return set().union(*(_items(branch) for branch in schema.get("anyOf", ())))


def _dangling(schema: Json) -> list[str]:
    """Return references without a definition."""
    text = json.dumps(schema)
    names = set(schema.get("$defs", {}))
    return [
        f"dangling {part.partition(chr(34))[0]}"
        for part in text.split('"$ref": "')[1:]
        if part.partition('"')[0].rpartition("/")[2] not in names
    ]


def _short(text: str) -> str:
    return " ".join(text.split())[:120]
