"""``sightline search``: a search for people, as a table."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sightline.server.cli.tool_client import call_tool
from sightline.server.config.settings import load

HELP = "search pictures (or, with --text, passages) and print a table"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("query", help="what should be visible, or words on or about the picture")
    parser.add_argument("--collection", default="", help="search this collection only")
    parser.add_argument("--text", action="store_true", help="search passages instead of pictures")
    parser.add_argument(
        "--filter", metavar="JSON", help='metadata filter, such as \'{"product": "Garlic"}\''
    )
    parser.add_argument("--limit", type=int, default=10, help="how many hits (default 10)")
    parser.add_argument("--json", action="store_true", help="print the tool's JSON instead")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 where something was found, 1 where nothing was."""
    found = call_tool(
        load(),
        "search_text" if arguments.text else "search_images",
        {
            "query": arguments.query,
            "collection": arguments.collection,
            "filters": _filters(arguments.filter),
            "limit": arguments.limit,
        },
    )
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _print_table(found)
    return 0 if found["hits"] else 1


def _filters(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        from sightline.storage.errors import InvalidArgumentError

        raise InvalidArgumentError(f"--filter {text!r} is not JSON: {error}") from error


def _print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not found["hits"]:
        console.print("Nothing matched.")
        return
    table = Table("n", "id", "score", "source", "caption or text", box=None, pad_edge=False)
    for hit in found["hits"]:
        where = hit["source"] + (f" p. {hit['page']}" if "page" in hit else "")
        words = hit.get("caption") or hit.get("text", "")
        if isinstance(words, dict):
            words = words["text"]
        marks = " (below threshold)" if hit.get("below_threshold") else ""
        # Text and not markup: captions come from files and may hold "[...]".
        table.add_row(
            str(hit["number"]),
            hit.get("passage") or hit["asset"],
            f"{hit['score']:.4f}{marks}",
            Text(where),
            Text(words),
        )
    console.print(table)
    for note in found.get("notes", []):
        console.print(Text(f"note: {note}"))
