"""``sightline search`` and ``show``: print hits, or the properties of an asset."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sightline.server.cli.cli_context import call_tool
from sightline.server.config import load_settings
from sightline.server.observability.terminal import write_json, write_lines, write_table
from sightline.storage.errors import InvalidArgumentError


def configure_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", help="what the image shows, or words in it or about it")
    parser.add_argument("--collection", default="", help="search this collection only")
    parser.add_argument("--text", action="store_true", help="search passages instead of images")
    parser.add_argument(
        "--filter", metavar="JSON", help='metadata filter, such as \'{"product": "Garlic"}\''
    )
    parser.add_argument("--limit", type=int, default=10, help="maximum number of hits (default 10)")
    parser.add_argument("--json", action="store_true", help="print the JSON result of the tool")


async def run_search(arguments: argparse.Namespace) -> int:
    """Print the hits; return 1 if there are none."""
    result = await call_tool(
        load_settings(),
        "search_text" if arguments.text else "search_images",
        {
            "query": arguments.query,
            "collection": arguments.collection,
            "filters": _filters(arguments.filter),
            "limit": arguments.limit,
        },
    )
    if arguments.json:
        write_json(result)
    else:
        _print_table(result)
    return 0 if result["hits"] else 1


def _filters(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError(f"--filter {text!r} is not JSON: {error}") from error


def _print_table(result: dict[str, Any]) -> None:
    if not result["hits"]:
        write_lines("No hits.")
        return
    rows = []
    for hit in result["hits"]:
        location = hit["source"] + (f" p. {hit['page']}" if "page" in hit else "")
        text = hit.get("caption") or hit.get("text", "")
        if isinstance(text, dict):
            text = text["text"]
        suffix = " (weak)" if hit.get("weak") else ""
        score = f"{hit['score']:.4f}{suffix}" if "score" in hit else ""  # a listing has none
        id_ = hit.get("passage") or hit["asset"]
        rows.append((str(hit["number"]), id_, score, location, text))
    write_table(("n", "id", "score", "source", "caption or text"), rows)
    _print_notes(result)


def _print_notes(result: dict[str, Any]) -> None:
    write_lines(*(f"note: {note}" for note in result.get("notes", ())))


def configure_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("asset", help="asset id of a search result")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_show(arguments: argparse.Namespace) -> None:
    result = await call_tool(
        load_settings(), "view_image", {"asset": arguments.asset, "max_edge": 64}
    )
    shown: dict[str, Any] = result["asset"]
    if arguments.json:
        write_json(shown)
        return
    for key, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        write_lines(f"{key + ':':<13} {text}")
    _print_notes(result)
