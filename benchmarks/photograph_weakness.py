"""Whether first hits on pictures without captions say that they are weak.

    python -m benchmarks photograph_weakness -- --photos FOLDER --groceries FOLDER

The built-in encoder does not know photographs: nearly all first hits should be weak. It knows the
synthetic album: right first hits should not be weak. A stub knows the main object of each photo,
and confuses one label in five: few of its first hits should be weak. The pictures have no text: OCR
is off, and the names of the files say nothing. The folder of photos has ``instances.json`` (COCO),
that of groceries ``metadata.jsonl``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.environment import temporary_settings
from benchmarks.search_quality.labeled_encoder import LabeledEncoder, main_labels
from benchmarks.search_quality.outcomes import (
    ALL,
    Outcome,
    Query,
    by_group,
    print_failures,
    print_json,
    share,
)
from benchmarks.search_quality.search_session import open_session
from benchmarks.search_quality.uncaptioned import (
    add_crops,
    copy_photographs,
    copy_products,
    render_synthetic,
)
from benchmarks.tables import max_verdict, min_verdict, print_table
from sightline.server.config import Settings

_PHOTOGRAPHS, _SYNTHETIC, _STUB = "photographs", "synthetic", "photographs and a reliable stub"
_COLLECTION = "photographs"
_MIN_WEAK_PHOTOGRAPHS = 0.95
_MAX_WEAK_STUB = 0.1
_STUB_ACCURACY = 0.8
_FIGURES = ("R@1", "weak", "weak if right", "weak if wrong")


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with temporary_settings(rate_limit__max_calls_per_minute=0) as settings:
        outcomes = await measure(settings, options)
    if options.photos is not None:
        with temporary_settings(rate_limit__max_calls_per_minute=0) as settings:
            outcomes[_STUB] = await measure_stub(settings, options.photos)
    figures = {
        name: {group: weakness(found) for group, found in by_group(each).items()}
        for name, each in outcomes.items()
    }
    if options.json:
        print_json(figures)
        return
    for name, groups in figures.items():
        rows = [
            [group, str(values["queries"]), *(_cell(values[each]) for each in _FIGURES)]
            for group, values in groups.items()
        ]
        print_table(f"First hits: {name}", ["query", "queries", *_FIGURES], rows)
    for name, verdict in (
        (_PHOTOGRAPHS, partial(min_verdict, budget=_MIN_WEAK_PHOTOGRAPHS)),
        (_STUB, partial(max_verdict, budget=_MAX_WEAK_STUB)),
    ):
        if name in figures:
            print(f"  weak, {name}: {verdict(figures[name][ALL]['weak'])}")
    if options.verbose:
        for name, found in outcomes.items():
            print_failures(name, found)


async def measure(settings: Settings, options: argparse.Namespace) -> dict[str, list[Outcome]]:
    """Ingest the albums as collections and return the outcomes of `search_images` by name."""
    work = settings.data_dir.parent
    albums: dict[str, tuple[Path, list[Query]]] = {}
    photographs: list[Query] = []
    if options.photos is not None:
        photographs += copy_photographs(options.photos, work / _PHOTOGRAPHS)
    if options.groceries is not None:
        photographs += copy_products(options.groceries, work / _PHOTOGRAPHS)
    if photographs and options.crops:
        photographs = add_crops(work / _PHOTOGRAPHS, photographs)
    if photographs:
        albums[_PHOTOGRAPHS] = work / _PHOTOGRAPHS, photographs
    if options.count:
        rendered = render_synthetic(work / _SYNTHETIC, count=options.count, seed=options.seed)
        albums[_SYNTHETIC] = rendered
    async with open_session(settings) as session:
        for name, (folder, _) in albums.items():
            await session.ingest(folder, name)
        return {
            name: await session.run("search_images", queries, name)
            for name, (_, queries) in albums.items()
        }


async def measure_stub(settings: Settings, photos: Path) -> list[Outcome]:
    """Ingest the photos with a stub that knows them, and return the outcomes of its labels."""
    album = settings.data_dir.parent / _COLLECTION
    queries = copy_photographs(photos, album)
    labels = main_labels(photos)
    known = set(labels.values())
    encoder = LabeledEncoder.open(photos, labels, accuracy=_STUB_ACCURACY)
    async with open_session(settings, encoder) as session:
        await session.ingest(album, _COLLECTION)
        chosen = [each for each in queries if each.text.removeprefix("a photo of a ") in known]
        return await session.run("search_images", chosen, _COLLECTION)


def weakness(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the share of right first hits, and the shares of weak ones."""
    right = [each for each in outcomes if each.reply.first in each.query.relevant]
    wrong = [each for each in outcomes if each.reply.first not in each.query.relevant]
    shares = [
        len(right) / len(outcomes) if outcomes else None,
        *(
            share(found, lambda each: each.reply.first_is_weak)
            for found in (outcomes, right, wrong)
        ),
    ]
    return {"queries": len(outcomes), **dict(zip(_FIGURES, shares, strict=True))}


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks photograph_weakness")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photos of objects (COCO)")
    parser.add_argument("--groceries", type=Path, metavar="FOLDER", help="pictures of products")
    parser.add_argument(
        "--crops",
        action="store_true",
        help="add the quarters of each photograph: five times as many",
    )
    parser.add_argument(
        "--count", type=int, default=180, help="synthetic images to render, 0: none (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=5, help="seed of these images (%(default)s)")
    parser.add_argument("--verbose", action="store_true", help="list the wrong results")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead")
    return parser.parse_args(arguments)
