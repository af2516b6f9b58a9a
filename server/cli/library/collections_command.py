"""``sightline collections``: list, rename, describe and delete collections."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, get_args

from sightline.server.cli.cli_context import confirm
from sightline.server.config import Settings, load_settings
from sightline.server.database.provider import open_database
from sightline.server.models.ocr.ocr_models import find_models
from sightline.server.observability.terminal import write_json, write_lines, write_table
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, choices, shown
from sightline.storage.ingest.collection_settings import OCR_LANGUAGES_SETTING, TILES_SETTING
from sightline.storage.ingest.detect.detect_stage import DETECT_SETTING
from sightline.storage.ingest.ingest_options import OcrMode
from sightline.storage.records import collections, deletion, deletion_preview
from sightline.storage.records.collections import Collection, CollectionOverview

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_OCR_SETTING: Final = "ocr"
_KINDS: Final = {
    _OCR_SETTING: f"one of {', '.join(get_args(OcrMode))}",
    OCR_LANGUAGES_SETTING: "languages that OCR also reads, separated by commas, or none",
    TILES_SETTING: "true or false: also embed tiles of each image",
    DETECT_SETTING: "phrases that the detector marks, separated by commas, or none",
}


def configure_collections(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", help="list (default), rename, describe, delete, settings"
    )
    _add(actions, "list", "list the collections with counts, size and encoder")
    rename = _add(actions, "rename", "give a collection another name")
    rename.add_argument("collection", metavar="COLLECTION")
    rename.add_argument("name", metavar="NAME", help="new name")
    describe = _add(actions, "describe", "say what is in a collection; agents see it, too")
    describe.add_argument("collection", metavar="COLLECTION")
    describe.add_argument("text", metavar="TEXT", help="one or two sentences; '' removes them")
    delete = _add(actions, "delete", "delete a collection; your own files stay")
    delete.add_argument("collection", metavar="COLLECTION")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    settings = _add(actions, "settings", "print or change the settings of a collection")
    settings.add_argument("collection", metavar="COLLECTION")
    settings.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="; ".join(f"{key}: {kind}" for key, kind in _KINDS.items())
        + "; KEY= removes a setting. The next ingest applies them.",
    )


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help_: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_, description=help_)
    _add_json(parser)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    # Without a default, which would hide that of the command itself.
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


async def run_collections(arguments: argparse.Namespace) -> None:
    """Run the action; without one, list the collections."""
    settings = load_settings()
    # Checked before the database is opened.
    changes = _parse_changes(settings, getattr(arguments, "changes", ()))
    async with open_database(settings) as database:
        match arguments.action:
            case "rename":
                printed = await _rename(database, settings, arguments)
            case "describe":
                printed = await _describe(database, arguments)
            case "delete":
                printed = await _delete(database, settings, arguments)
            case "settings":
                printed = await _change_settings(database, arguments.collection, changes)
            case _:
                printed = await _list(database)
    if getattr(arguments, "json", False):
        write_json(printed)
    else:
        _print(arguments, printed)


async def _list(database: Database) -> dict[str, Any]:
    async with database.connection() as connection:
        overviews = await collections.list_counts(connection)
    return {"collections": [_overview_as_json(each) for each in overviews]}


async def _rename(
    database: Database, settings: Settings, arguments: argparse.Namespace
) -> dict[str, Any]:
    async with database.write_connection() as connection:
        before = await collections.get(connection, arguments.collection)
        after = await collections.rename(connection, before, arguments.name)
    if settings.default_collection == before.name:
        write_lines(
            f"SIGHTLINE_DEFAULT_COLLECTION is still {before.name}: an ingest without --collection "
            "creates it again.",
            error=True,
        )
    return {"collection": after.name, "previous_name": before.name}


async def _describe(database: Database, arguments: argparse.Namespace) -> dict[str, Any]:
    async with database.write_connection() as connection:
        target = await collections.get(connection, arguments.collection)
        target = await collections.describe(connection, target, arguments.text)
    return {"collection": target.name, "description": target.description}


async def _delete(
    database: Database, settings: Settings, arguments: argparse.Namespace
) -> dict[str, Any]:
    preview = await deletion_preview.preview_collection(database, arguments.collection)
    confirm(
        f"Delete the collection {preview.collection} with {preview.assets:,} assets of "
        f"{preview.sources:,} files, {preview.passages:,} passages and {preview.annotations:,} "
        "annotations? Your own files stay. It cannot be undone.",
        yes=arguments.yes,
    )
    deleted = await deletion.delete_collection(
        database, BlobStore(settings.data_dir), preview.collection, confirmed=preview
    )
    return {"collection": preview.collection, "deleted": asdict(deleted)}


async def _change_settings(
    database: Database, name: str, changes: dict[str, Any]
) -> dict[str, Any]:
    async with database.write_connection() as connection:
        target = await collections.get(connection, name)
        if changes:
            removed = [key for key, value in changes.items() if value is None]
            kept = {key: value for key, value in changes.items() if value is not None}
            target = await collections.update_settings(connection, target, kept, removed)
    return {"collection": target.name, "settings": _settings_of(target)}


def _settings_of(collection: Collection) -> dict[str, Any]:
    return {key: collection.settings[key] for key in _KINDS if key in collection.settings}


def _parse_changes(settings: Settings, changes: Sequence[str]) -> dict[str, Any]:
    """Return the value of each key; None removes the setting.

    Raises ConfigurationError.
    """
    parsed: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key not in _KINDS:
            raise ConfigurationError(
                f"{shown(change)} is not a setting. Give KEY=VALUE with a key of: "
                f"{choices(_KINDS)}."
            )
        parsed[key] = _parse(key, text) if text else None
    if languages := parsed.get(OCR_LANGUAGES_SETTING):
        find_models(languages, settings.ingest.ocr_models)
    return parsed


def _parse(key: str, text: str) -> Any:
    value: Any = {"true": True, "false": False}.get(text, text)
    if key in (OCR_LANGUAGES_SETTING, DETECT_SETTING):
        value = [] if text == "none" else [part.strip() for part in text.split(",")]
        is_valid = all(value)
    elif key == TILES_SETTING:
        is_valid = isinstance(value, bool)
    else:
        is_valid = text in get_args(OcrMode)
    if not is_valid:
        raise ConfigurationError(f"{key}={shown(text)} is not valid. Give {_KINDS[key]}.")
    return value


def _overview_as_json(each: CollectionOverview) -> dict[str, Any]:
    return {
        "name": each.name,
        "description": each.description,
        "assets": each.assets,
        "passages": each.passages,
        "files": each.done_sources,
        "failed_files": each.failed_sources,
        "bytes": each.source_bytes,
        "encoder": each.encoder,
        "captured_from": each.captured_from and each.captured_from.isoformat(),
        "captured_to": each.captured_to and each.captured_to.isoformat(),
        "created_at": each.created_at.isoformat(),
        "settings": _settings_of(each),
    }


def _print(arguments: argparse.Namespace, printed: dict[str, Any]) -> None:
    match arguments.action:
        case "rename":
            write_lines(f"{printed['previous_name']} is {printed['collection']} now.")
        case "describe":
            write_lines(f"{printed['collection']}: {printed['description'] or 'no description'}")
        case "delete":
            deleted = printed["deleted"]
            write_lines(
                f"Deleted {printed['collection']}: {deleted['assets']:,} assets of "
                f"{deleted['sources']:,} files."
            )
        case "settings":
            lines = [f"{key}={_text(value)}" for key, value in printed["settings"].items()]
            write_lines(*(lines or ["no settings; those of the installation apply"]))
        case _:
            _print_list(printed["collections"])


def _print_list(listed: Sequence[dict[str, Any]]) -> None:
    if not listed:
        write_lines("There are no collections. Create one: sightline ingest PATH")
        return
    columns = ("collection", "assets", "passages", "files", "failed", "size", "encoder", "content")
    rows = [
        (
            each["name"],
            f"{each['assets']:,}",
            f"{each['passages']:,}",
            f"{each['files']:,}",
            f"{each['failed_files']:,}",
            size_text(each["bytes"]),
            each["encoder"] or "-",
            each["description"],
        )
        for each in listed
    ]
    write_table(columns, rows, whole=("collection",))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def size_text(byte_count: int) -> str:
    """Return a size for people, such as ``3.4 MB``."""
    size, unit = float(byte_count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{byte_count} B"
