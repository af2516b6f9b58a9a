"""Whether a search by a changed picture finds the original first.

    python -m benchmarks picture_variants -- --pictures FOLDER --pictures FOLDER

Stores the pictures of the folders (default: the synthetic album) and searches by changed copies of
some of them. "By vectors" counts where the original has the nearest vector. Also prints which
pictures and which of their variants `find_duplicates` would group.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mcp import Client
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.environment import temporary_settings
from benchmarks.tables import print_table
from sightline.server.app import create_app
from sightline.server.cli.library.ingest import ingest_paths
from sightline.server.config import Settings
from sightline.training.world.export import export

Change = Callable[[Image.Image], Image.Image]
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MAX_EDGE = 1600
_LIMIT = 50


def _cut(left: float, top: float, right: float, bottom: float) -> Change:
    def cut(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop(
            (int(left * width), int(top * height), int(right * width), int(bottom * height))
        )

    return cut


def _recompressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=25)
    return Image.open(file).convert("RGB")


VARIANTS: Mapping[str, Change] = {
    "a third of the size": lambda image: image.resize(
        (max(1, image.width // 3), max(1, image.height // 3)), Image.Resampling.LANCZOS
    ),
    "JPEG quality 25": _recompressed,
    "cut, 80% of each side left": _cut(0.1, 0.1, 0.9, 0.9),
    "cut, 65% of each side left": _cut(0.1, 0.2, 0.75, 0.85),
    "cut, 50% of each side left": _cut(0.25, 0.25, 0.75, 0.75),
    "mirrored": ImageOps.mirror,
    "rotated by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated by 180 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "dark (0.4)": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "bright (1.7)": lambda image: ImageEnhance.Brightness(image).enhance(1.7),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "gray, dark and rotated": lambda image: (
        ImageEnhance.Brightness(image.convert("L").convert("RGB"))
        .enhance(0.5)
        .transpose(Image.Transpose.ROTATE_270)
    ),
}


async def main(arguments: Sequence[str] = ()) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with temporary_settings(rate_limit__max_calls_per_minute=0) as settings:
        album = settings.data_dir.parent / "album"
        names = _copy_pictures(options, album)
        rng = np.random.default_rng(options.seed)
        chosen = sorted(rng.choice(names, min(options.queries, len(names)), replace=False).tolist())
        await ingest_paths(settings, [album], "album", lambda _: None)
        print(f"{len(names)} pictures; {len(chosen)} of them searched by {len(VARIANTS)} variants")
        await _measure_search(settings, album, chosen)
        await _measure_groups(settings, album, chosen)


async def _measure_search(settings: Settings, album: Path, chosen: Sequence[str]) -> None:
    rows = []
    async with Client(create_app(settings)) as client:
        for title, change in {"unchanged": lambda image: image, **VARIANTS}.items():
            firsts = Counter[str]()
            seconds = []
            for name in chosen:
                url = _data_url(change(_open(album / name)))
                started = time.perf_counter()
                found = await _call(client, "search_images", image=url, limit=_LIMIT)
                seconds.append(time.perf_counter() - started)
                hits = found["hits"]
                firsts["fused"] += _name(hits[0]) == name
                nearest = min(hits, key=lambda hit: hit.get("distance", 2.0))
                firsts["vectors"] += _name(nearest) == name
            cells = [f"{firsts[each]} of {len(chosen)}" for each in ("vectors", "fused")]
            rows.append((title, *cells, f"{1000 * float(np.median(seconds)):.0f}"))
    print_table("Original found first", ("variant", "by vectors", "now", "median ms"), rows)


async def _measure_groups(settings: Settings, album: Path, chosen: Sequence[str]) -> None:
    """Store the variants as well, and count those in the group of their original."""
    variants = album.with_name("variants")
    variants.mkdir()
    for place, change in enumerate(VARIANTS.values()):
        for name in chosen:
            change(_open(album / name)).save(variants / f"{place:02}-{Path(name).stem}.png")
    async with Client(create_app(settings)) as client:
        before = await _groups(client)
        await ingest_paths(settings, [variants], "variants", lambda _: None)
        after = await _groups(client)
    print(f"\nGroups of the pictures themselves: {len(before)}")
    for group in before[:10]:
        print("  " + ", ".join(sorted(group)[:8]))
    group_of = {name: place for place, group in enumerate(after) for name in group}
    rows = []
    for place, title in enumerate(VARIANTS):
        grouped = sum(
            group_of.get(f"{place:02}-{Path(name).stem}.png", -1) == group_of.get(name, -2)
            for name in chosen
        )
        rows.append((title, f"{grouped} of {len(chosen)}"))
    print_table("Grouped with the original by find_duplicates", ("variant", "grouped"), rows)


async def _groups(client: Client) -> list[set[str]]:
    groups: list[set[str]] = []
    offset: int | None = 0
    while offset is not None:
        found = await _call(client, "find_duplicates", limit=50, offset=offset)
        groups += [{_name(each) for each in group["images"]} for group in found["groups"]]
        offset = found.get("next_offset")
    return groups


async def _call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        raise RuntimeError(str(result.content))
    return result.structured_content


def _name(found: dict[str, Any]) -> str:
    """Return the file name of a hit, whose source may be the end of a path."""
    return str(found["source"]).rpartition("/")[2]


def _copy_pictures(options: argparse.Namespace, album: Path) -> list[str]:
    """Copy the pictures under names that are unique; return the names."""
    folders: list[Path] = options.pictures
    if not folders:
        world = album.with_name("world")
        export(world, split="test", count=options.count, seed=options.seed)
        folders = [world]
    album.mkdir()
    names = []
    for place, folder in enumerate(folders):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _SUFFIXES:
                names.append(f"{place}-{path.name}")
                shutil.copy(path, album / names[-1])
    return names


def _open(path: Path) -> Image.Image:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image.thumbnail((_MAX_EDGE, _MAX_EDGE))
    return image


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks picture_variants", description=__doc__)
    parser.add_argument("--pictures", type=Path, action="append", default=[], help="a folder")
    parser.add_argument("--count", type=int, default=360, help="pictures of the synthetic album")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--seed", type=int, default=3)
    return parser.parse_args(list(arguments))
