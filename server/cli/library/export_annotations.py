"""``sightline export-annotations``: write annotations and images as a data set."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pydantic import JsonValue

from sightline.server.config import load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability.terminal import write_json, write_lines
from sightline.server.runtime import create_image_decoder
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, shown
from sightline.storage.files import create_private, write_private
from sightline.storage.records import assets, collections
from sightline.storage.records.annotations import annotated_asset_ids, list_by_asset
from sightline.tools.boxes import annotation_export
from sightline.tools.boxes.annotation_export import AnnotatedAsset
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.shared.image_loading import load_whole

FILE = "annotations.json"
_JPEG_QUALITY = 95


def configure_export_annotations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, help="new or empty folder")
    parser.add_argument("--format", choices=("coco", "llava"), default="coco")
    parser.add_argument("--collection", help="collection (default: all)")
    parser.add_argument(
        "--origin", choices=("person", "model"), help="origin of the annotations (default: both)"
    )
    profile_help = "model profile of the LLaVA format (default: %(default)s)"
    parser.add_argument("--profile", default="llava-1.5", help=profile_help)
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_export_annotations(arguments: argparse.Namespace) -> None:
    """Write the folder, and print a summary on stderr."""
    settings, out = load_settings(), arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"{out} is not empty. Give a new or empty folder.")
    decoder, blobs = create_image_decoder(settings), BlobStore(settings.data_dir)
    try:
        async with open_database(settings) as database:
            annotated = await _annotated_assets(database, arguments.collection, arguments.origin)
        data = _format(arguments, annotated)
        (out / "images").mkdir(parents=True)
        for asset, _ in annotated:
            image = await load_whole(decoder, blobs, asset)
            with create_private(out / annotation_export.image_file_name(asset)) as file:
                image.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        # Written last, so that all images in it exist.
        text = json.dumps(data, ensure_ascii=False, indent=1)
        write_private(out / FILE, text + "\n")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"{shown(str(out))} cannot be written: {reason}.") from error
    finally:
        await decoder.close()
    count = sum(len(boxes) for _, boxes in annotated)
    write_lines(f"{count:,} annotations on {len(annotated):,} images in {out}", error=True)
    if arguments.json:
        write_json({"folder": str(out), "annotations": count, "images": len(annotated)})


async def _annotated_assets(
    database: Database, collection: str | None, origin: str | None
) -> list[AnnotatedAsset]:
    """Return the assets with matching annotations; raise if there are none."""
    async with database.connection() as connection:
        if collection is not None:
            await collections.get(connection, collection)
        ids = await annotated_asset_ids(connection, collection)
        by_asset = await list_by_asset(connection, ids)
        records = await assets.fetch(connection, ids)
    selected: list[AnnotatedAsset] = [
        (record, boxes)
        for record in records
        if (boxes := [box for box in by_asset[record.id] if origin in (None, box.origin)])
    ]
    if not selected:
        where = "any collection" if collection is None else f"the collection {shown(collection)}"
        by = "" if origin is None else f" by a {origin}"
        raise InvalidArgumentError(
            f"There are no annotations{by} in {where}. Create some with save_annotation."
        )
    return selected


def _format(arguments: argparse.Namespace, annotated: list[AnnotatedAsset]) -> JsonValue:
    if arguments.format == "coco":
        return annotation_export.to_coco(annotated)
    profile = choose_profile(arguments.profile, arguments.profile)
    if profile.box_format is None:
        raise InvalidArgumentError(profile.note or f"{profile.name} has no boxes")
    return annotation_export.to_llava(annotated, profile)
