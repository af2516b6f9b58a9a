"""Whether forms of a query find the same: R@1 by form on receipts and pictures of products.

    python -m benchmarks query_forms -- --receipts FOLDER --groceries FOLDER --ocr-cache build/ocr

The folder of receipts has ``truth.jsonl`` and that of groceries ``metadata.jsonl``. For each item
there is a query in each form: exact, a question, misspelled, a date in words and so on. Both
searches run with their default arguments. Each run ingests anew; the cache keeps only the results
of OCR, which takes minutes.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.environment import temporary_settings
from benchmarks.search_quality.grocery_queries import grocery_queries, load_products
from benchmarks.search_quality.outcomes import (
    Outcome,
    Query,
    print_failures,
    print_json,
    print_recall,
    summary,
)
from benchmarks.search_quality.receipt_queries import load_receipts, receipt_queries
from benchmarks.search_quality.search_session import (
    SEARCH_TOOLS,
    SearchSession,
    open_session,
)
from sightline.server.config import Settings

_Outcomes = dict[str, list[Outcome]]


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with temporary_settings(
        rate_limit__max_calls_per_minute=0,
        ingest__ocr="auto",
        ingest__file_timeout_seconds=600,
    ) as settings:
        material = _material(options, settings.data_dir.parent)
        outcomes = await measure(
            settings, material, options.ocr_cache, everywhere=options.everywhere
        )
    if options.json:
        print_json(
            {
                name: {tool: summary(found) for tool, found in by_tool.items()}
                for name, by_tool in outcomes.items()
            }
        )
        return
    for name, by_tool in outcomes.items():
        print_recall(f"{name.capitalize()}, R@1", "form", by_tool)
        if options.verbose:
            for tool, found in by_tool.items():
                print_failures(f"{name}, {tool}", found)


def _material(options: argparse.Namespace, work: Path) -> dict[str, tuple[Path, list[Query]]]:
    """Return the folder to ingest and the queries, by the name of the collection."""
    material = {}
    if options.receipts is not None:
        receipts = load_receipts(options.receipts)
        # Not the annotation, which would be found as a text file.
        copy_pictures(options.receipts, (each.file_name for each in receipts), work / "receipts")
        material["receipts"] = work / "receipts", list(receipt_queries(receipts))
    if options.groceries is not None:
        products = load_products(options.groceries)
        material["groceries"] = options.groceries, list(grocery_queries(products))
    return material


def copy_pictures(folder: Path, names: Iterable[str], album: Path) -> None:
    """Copy only these files of a folder."""
    album.mkdir()
    for name in names:
        shutil.copyfile(folder / name, album / name)


async def measure(
    settings: Settings,
    material: dict[str, tuple[Path, list[Query]]],
    ocr_cache: Path | None,
    *,
    everywhere: bool = False,
) -> dict[str, _Outcomes]:
    """Ingest each folder as a collection and return the outcomes by its name and tool.

    The queries search only that collection, or ``everywhere``.
    """
    async with open_session(settings) as session:
        for name, (folder, _) in material.items():
            await session.ingest(folder, name, ocr_cache=ocr_cache)
        return {
            name: await _search(session, "" if everywhere else name, queries)
            for name, (_, queries) in material.items()
        }


async def _search(session: SearchSession, collection: str, queries: Sequence[Query]) -> _Outcomes:
    return {tool: await session.run(tool, queries, collection) for tool in SEARCH_TOOLS}


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks query_forms")
    parser.add_argument("--receipts", type=Path, metavar="FOLDER", help="scanned receipts")
    parser.add_argument("--groceries", type=Path, metavar="FOLDER", help="pictures of products")
    parser.add_argument(
        "--ocr-cache", type=Path, metavar="FOLDER", help="keep the results of OCR for the next run"
    )
    parser.add_argument(
        "--everywhere", action="store_true", help="search without naming the collection"
    )
    parser.add_argument("--verbose", action="store_true", help="list the wrong results")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead")
    options = parser.parse_args(arguments)
    if options.receipts is None and options.groceries is None:
        parser.error("Give --receipts, --groceries or both.")
    return options
