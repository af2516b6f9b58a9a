"""What is in a collection: ``sightline list``, ``delete`` and ``stats``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from sightline.server.cli.cli_context import call_tool, confirm
from sightline.server.cli.library.collections_command import size_text
from sightline.server.cli.library.search import parse_filter
from sightline.server.config import load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability.terminal import write_json, write_lines, write_table
from sightline.storage.blobs import BlobStore
from sightline.storage.db.queries import Connection
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, choices, shown
from sightline.storage.maintenance.library_statistics import library_statistics
from sightline.storage.records import deletion, deletion_preview
from sightline.storage.records.deletion import DeletionResult
from sightline.storage.records.source_text import find_sources
from sightline.storage.types import ASSET_ID

_PAGE_SIZE: Final = 50


def configure_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collection", metavar="COLLECTION", nargs="?", default="", help="default: all"
    )
    parser.add_argument(
        "--filter", metavar="JSON", help='metadata filter, such as \'{"kind": "page"}\''
    )
    parser.add_argument(
        "--after", metavar="DATE", default="", help="taken after, such as 2026-05-01"
    )
    parser.add_argument("--before", metavar="DATE", default="", help="taken before")
    parser.add_argument(
        "--limit", type=int, default=_PAGE_SIZE, help="assets per page, 1 to 50 (default 50)"
    )
    parser.add_argument("--cursor", default="", help="next_cursor of the previous page")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_list(arguments: argparse.Namespace) -> None:
    """Print one page of assets, the newest first, and the command for the next page."""
    result = await call_tool(
        load_settings(),
        "search_images",
        {
            "collection": arguments.collection,
            "filters": parse_filter(arguments.filter),
            "captured_after": arguments.after,
            "captured_before": arguments.before,
            "limit": arguments.limit,
            "cursor": arguments.cursor,
            "detail": "detailed",  # with whole names
        },
    )
    if arguments.json:
        write_json(
            {
                "assets": [_listed(hit, result) for hit in result["hits"]],
                "total": result["total"],
                "next_cursor": result.get("next_cursor"),
            }
        )
        return
    rows = [
        (hit["asset"], _place(hit), hit.get("captured_at", ""), hit.get("caption", ""))
        for hit in result["hits"]
    ]
    write_table(("id", "source", "taken", "caption"), rows, whole=("id",))
    write_lines(f"{len(rows):,} of {result['total']:,} assets")
    if cursor := result.get("next_cursor"):
        write_lines(f"next page: {_next_page(arguments, cursor)}")


def _listed(hit: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in hit.items() if key != "number"}
    return {"collection": result.get("collection")} | kept


def _place(hit: Mapping[str, Any]) -> str:
    place = str(hit["source"])
    place += f" p. {hit['page']}" if "page" in hit else ""
    return place + (f" {hit['seconds']:g} s" if "seconds" in hit else "")


def _next_page(arguments: argparse.Namespace, cursor: str) -> str:
    words = ["sightline", "list", *([arguments.collection] if arguments.collection else [])]
    for option in ("filter", "after", "before"):
        if value := getattr(arguments, option):
            words += [f"--{option}", value]
    return shlex.join([*words, "--limit", str(arguments.limit), "--cursor", cursor])


def configure_delete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "items",
        nargs="+",
        metavar="ITEM",
        help="asset ids; or, with --collection, sources (names of files)",
    )
    parser.add_argument("--collection", help="collection of the sources")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_delete(arguments: argparse.Namespace) -> None:
    """Delete assets, or all that was made from sources, after a question."""
    settings, items, name = (
        load_settings(),
        list(dict.fromkeys(arguments.items)),
        arguments.collection,
    )
    if name is None and (others := [each for each in items if not ASSET_ID.fullmatch(each)]):
        raise ConfigurationError(
            f"{others[0]!r} is not an asset id. To delete the content of a file, give its "
            "collection: sightline delete NAME --collection COLLECTION"
        )
    blobs = BlobStore(settings.data_dir)
    async with open_database(settings) as database:
        if name is None:
            confirm(f"Delete {len(items):,} assets? {_WARNING}", yes=arguments.yes)
            deleted = await deletion.delete_assets(database, blobs, items)
        else:
            async with database.connection() as connection:
                items = [await _whole_name(connection, each, name) for each in items]
            preview = await deletion_preview.preview_sources(database, name, names=items)
            confirm(
                f"Delete {preview.sources:,} files with {preview.assets:,} assets, "
                f"{preview.passages:,} passages and {preview.annotations:,} annotations from "
                f"{preview.collection}? {_WARNING}",
                yes=arguments.yes,
            )
            deleted = await deletion.delete_sources(
                database, blobs, name, names=items, confirmed=preview
            )
    if arguments.json:
        write_json({"deleted": asdict(deleted)})
    else:
        write_lines(deleted_text(deleted))


async def _whole_name(connection: Connection, name: str, collection: str) -> str:
    """Return the name of the source that ends with a name; an unknown name stays.

    Raises InvalidArgumentError if there are several.
    """
    end = name.removeprefix("…/")  # as results shorten names
    found = dict.fromkeys(each.name for each in await find_sources(connection, end, collection))
    if len(found) > 1:
        raise InvalidArgumentError(
            f"{shown(name)} is the end of several sources: {choices(found)}. Give a whole name."
        )
    return next(iter(found), name)


_WARNING: Final = "Your own files stay. It cannot be undone."


def deleted_text(deleted: DeletionResult) -> str:
    """Return a sentence about what was deleted."""
    return (
        f"Deleted {deleted.assets:,} assets of {deleted.sources:,} files, {deleted.passages:,} "
        f"passages and {deleted.annotations:,} annotations."
    )


def configure_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", nargs="?", help="default: all")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_stats(arguments: argparse.Namespace) -> None:
    """Print numbers and sizes of what a collection, or the whole library, holds."""
    async with open_database(load_settings()) as database:
        counted = await library_statistics(database, arguments.collection)
    if arguments.json:
        write_json(counted)
        return
    sizes: dict[str, int] = counted["database"]
    done = [each for each in counted["sources"] if each["state"] == "done"]
    failed = sum(each["files"] for each in counted["sources"] if each["state"] == "failed")
    write_table(
        ("files", "type", "size"),
        [(f"{each['files']:,}", each["type"], size_text(each["bytes"] or 0)) for each in done],
    )
    write_lines(
        *(_counts(kind, counted[kind]) for kind in ("assets", "passages", "annotations")),
        f"failed files: {failed:,}",
        *(_space(each) for each in counted["spaces"]),
        "database: "
        + ", ".join(
            f"{key.removesuffix('_bytes')} {size_text(size)}"
            for key, size in sizes.items()
            if key != "database_bytes"
        )
        + f"; all {size_text(sizes['database_bytes'])}",
    )


def _counts(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    total = sum(each["number"] for each in rows)
    kinds = ", ".join(f"{each['number']:,} {each['kind']}" for each in rows)
    return f"{title}: {total:,}" + (f" ({kinds})" if kinds else "")


def _space(each: Mapping[str, Any]) -> str:
    return (
        f"vectors of {each['level']}s: {each['encoder']}, {each['dimension']} dimensions "
        f"({', '.join(each['collections'])})"
    )
