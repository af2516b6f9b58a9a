"""Write cli.md, formats.md and tools.md in docs/reference from the code.

``python docs/build_reference.py`` rewrites them. tests/docs/test_reference.py fails if a
page is out of date.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer

from sightline.server.cli import build_parser
from sightline.server.cli.command_table import EXIT_CODES, examples_of, overview
from sightline.server.mcp_server.published_schema import publish_schema
from sightline.storage.ingest.formats import FORMATS, FileFormat, FileType, formats_of
from sightline.tools.registry import RESULTS, register_all, register_analytics

REFERENCE = Path(__file__).parent / "reference"

Schema = dict[str, Any]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                nested = list(_commands(command))
                yield from ((f"{name} {child}", each) for child, each in nested)
                if not nested:
                    yield name, command


def _option(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def cli_page() -> str:
    """Return the page of all commands and their options."""
    lines = [
        "# Commands",
        "",
        "Written by `docs/build_reference.py`. `sightline COMMAND --help` prints the same.",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
        "`sightline sql` and `sightline vlm serve` return the exit code of the program they run.",
        "",
        "## Overview",
        "",
        "```",
        *overview().splitlines(),
        "```",
    ]
    for name, command in _commands(build_parser()):
        lines += ["", f"## sightline {name}", "", (command.description or "").strip()]
        lines += ["", "```", *examples_of(f"sightline {name}"), "```"]
        rows = [
            f"| `{_cell(_option(action))}` | {_cell((action.help or '') % vars(action))} |"
            for action in command._actions
            if not isinstance(action, argparse._HelpAction)
        ]
        if rows:
            lines += ["", "| argument | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        schema = {**root["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def _type(schema: Schema, root: Schema) -> str:
    schema = _resolve(schema, root)
    variants = schema.get("anyOf") or schema.get("oneOf")
    if variants:
        names = [_type(each, root) for each in variants]
        return " or ".join(dict.fromkeys(name for name in names if name != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        items = schema.get("items") or {}
        return f"list of {_type(items, root)}" if items else "list"
    return str(schema.get("type", "any"))


def _fields(schema: Schema, root: Schema, prefix: str = "") -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, raw in schema.get("properties", {}).items():
        each = _resolve(raw, root)
        default = f", default `{json.dumps(each['default'])}`" if each.get("default") else ""
        mark = ", required" if name in required and not prefix else ""
        yield (
            f"| `{prefix}{name}` | {_cell(_type(raw, root))}{mark}{default} "
            f"| {_cell(each.get('description', ''))} |"
        )
        for nested in (each, *each.get("anyOf", ())):
            inner = _resolve(nested, root)
            if inner.get("type") == "array":
                inner, suffix = _resolve(inner.get("items") or {}, root), "[]."
            else:
                suffix = "."
            if inner.get("properties") and prefix.count(".") < 2:
                yield from _fields(inner, root, f"{prefix}{name}{suffix}")


async def _tools() -> list[Any]:
    server: MCPServer[Any] = MCPServer("reference")
    register_all(server)
    register_analytics(server)
    return list(await server.list_tools())


def tools_page() -> str:
    """Return the page of all tools, their arguments and result fields."""
    lines = [
        "# Tools",
        "",
        "Written by `docs/build_reference.py` from the schemas that clients see.",
        "",
        "The first text block of a result is the complete JSON. Optional fields without a value",
        "are omitted. An unknown argument is an error that lists the valid ones.",
    ]
    for tool in asyncio.run(_tools()):
        lines += ["", f"## {tool.name}", "", (tool.description or "").strip(), "", "### Arguments"]
        lines[-1] = f"### Arguments of {tool.name}"
        published = publish_schema(tool.input_schema)
        arguments = list(_fields(published, published))
        if arguments:
            lines += ["", "| argument | type | meaning |", "|---|---|---|", *arguments]
        else:
            lines += ["", "None."]
        schema = RESULTS[tool.name].model_json_schema(mode="serialization")
        lines += ["", f"### Result of {tool.name}", ""]
        lines += ["| field | type | meaning |", "|---|---|---|", *_fields(schema, schema)]
    return "\n".join(lines) + "\n"


_KINDS: dict[FileType, str] = {
    "image": "Images",
    "pdf": "PDF",
    "document": "Documents",
    "text": "Text",
    "rows": "Tables",
    "video": "Video",
    "audio": "Audio",
    "subtitles": "Subtitles",
    "archive": "Archives",
}


def _suffixes(file_format: FileFormat) -> str:
    return " ".join(f"`{suffix}`" for suffix in file_format.suffixes) or "by content"


def formats_page() -> str:
    """Return the page of all file formats: those that are read, and advice for others."""
    lines = [
        "# File formats",
        "",
        "Written by `docs/build_reference.py` from `storage/ingest/formats.py`. `sightline doctor`",
        "reports readers that are not installed.",
        "",
        "The content of a file decides: a PNG with the name `a.jpg` is read as PNG. The suffix",
        "decides between formats that start alike, and for formats without a mark, such as text.",
    ]
    for kind, title in _KINDS.items():
        if rows := list(formats_of(kind)):
            lines += ["", f"## {title}", "", "| format | suffixes | MIME type | read by |"]
            lines += ["|---|---|---|---|"]
            lines += [
                f"| {_cell(each.name)} | {_suffixes(each)} | `{each.mime_type}` | {each.reader} |"
                for each in rows
            ]
    lines += ["", "## Formats that are not read", "", "The report names them with this advice.", ""]
    lines += ["| format | suffixes | what to do |", "|---|---|---|"]
    lines += [
        f"| {_cell(each.name)} | {_suffixes(each)} | {each.advice} |"
        for each in FORMATS
        if each.kind == "unsupported"
    ]
    return "\n".join(lines) + "\n"


PAGES = {"cli.md": cli_page, "formats.md": formats_page, "tools.md": tools_page}


def main() -> None:
    """Rewrite the generated pages."""
    for name, build in PAGES.items():
        (REFERENCE / name).write_text(build(), encoding="utf-8")


if __name__ == "__main__":
    main()
