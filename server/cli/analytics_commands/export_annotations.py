"""``sightline export-annotations``: saved boxes with their pictures, for training and measuring."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config.settings import Settings, load
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, shown

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sightline.server.database.provider import DatabaseProvider
    from sightline.tools.boxes.annotation_export import Annotated

HELP = "write saved annotations and their pictures in COCO's or LLaVA's format"

FORMATS = ("coco", "llava")
FILE = "annotations.json"
_JPEG_QUALITY = 95
_PROFILE = "llava-1.5"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", type=Path, help="a folder that is new or empty")
    parser.add_argument("--format", choices=FORMATS, default="coco")
    parser.add_argument("--collection", help="one collection; default: all")
    parser.add_argument(
        "--origin", choices=("person", "model"), help="what persons, or models, drew; default: both"
    )
    parser.add_argument(
        "--profile",
        default=_PROFILE,
        help="of llava: the family whose words and numbers are written (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the folder, and say on stderr what is in it."""
    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} is not empty; name a folder that is new or empty")
    pictures, boxes = asyncio.run(_export(load(), arguments))
    print(f"{boxes:,} annotations on {pictures:,} pictures in {out}", file=sys.stderr)
    return 0


async def _export(settings: Settings, arguments: argparse.Namespace) -> tuple[int, int]:
    from sightline.server.config.option_mapping import decoder
    from sightline.server.database.provider import DatabaseProvider
    from sightline.storage.blobs import ObjectStore
    from sightline.tools.boxes.annotation_export import picture_file
    from sightline.tools.shared.images import open_hostile

    databases, opening = DatabaseProvider(settings), decoder(settings)
    try:
        annotated = await _rows(databases, arguments.collection, arguments.origin)
        written = _written(arguments, annotated)
        (arguments.out / "images").mkdir(parents=True)
        objects = ObjectStore(settings.data_dir)
        for asset, _ in annotated:
            image = await open_hostile(
                opening, objects.read(asset.location, asset.sha256, name=asset.source)
            )
            image.save(arguments.out / picture_file(asset), quality=_JPEG_QUALITY, subsampling=0)
    finally:
        await opening.close()
        await databases.close()
    # Last, so that what it names is there.
    text = json.dumps(written, ensure_ascii=False, indent=1)
    (arguments.out / FILE).write_text(text + "\n", encoding="utf-8")
    return len(annotated), sum(len(marks) for _, marks in annotated)


async def _rows(
    databases: DatabaseProvider, collection: str | None, origin: str | None
) -> list[Annotated]:
    """The assets that have such annotations; raises where there are none."""
    from sightline.storage.records import annotations, assets, collections

    database = await databases.open()
    async with database.connection() as connection:
        if collection is not None:
            await collections.get(connection, collection)
        ids = await annotations.annotated(connection, collection)
        marks = await annotations.of_assets(connection, ids)
        records = await assets.fetch(connection, ids)
    kept: list[Annotated] = [
        (record, [mark for mark in marks[record.id] if origin in (None, mark.origin)])
        for record in records
    ]
    found = [(record, of_it) for record, of_it in kept if of_it]
    if not found:
        where = "any collection" if collection is None else f"the collection {shown(collection)}"
        by = "" if origin is None else f" by a {origin}"
        raise InvalidArgumentError(f"nothing is annotated{by} in {where}; see save_annotation")
    return found


def _written(arguments: argparse.Namespace, annotated: list[Annotated]) -> JsonValue:
    from sightline.tools.boxes.annotation_export import coco, conversations
    from sightline.tools.boxes.model_profiles import choose

    if arguments.format == "coco":
        return coco(annotated)
    profile = choose(arguments.profile, arguments.profile)
    if profile.boxes is None:
        raise InvalidArgumentError(profile.note or f"{profile.name} has no boxes")
    return conversations(annotated, profile)
