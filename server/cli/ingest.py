"""``sightline ingest``: add images, documents and text files to a collection."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.config import Settings, load_settings, variable
from sightline.server.observability import logs, terminal
from sightline.server.runtime import allowed_urls
from sightline.storage.errors import NotAllowedError, shown
from sightline.storage.ingest import collection_settings, pipeline
from sightline.storage.ingest.discover.input_paths import IngestInput
from sightline.storage.ingest.discover.urls import UrlFetcher
from sightline.storage.ingest.progress import IngestProgress, IngestSummary
from sightline.tools.shared.dependencies import Dependencies


def configure_ingest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folder, file, pattern such as 'images/*.jpg', .zip or .tar archive, or https:// URL "
        "of a host in SIGHTLINE_URLS__ALLOWED_HOSTS",
    )
    parser.add_argument("--collection", help="created if missing (SIGHTLINE_DEFAULT_COLLECTION)")
    parser.add_argument(
        "--tiles",
        action=argparse.BooleanOptionalAction,
        help="also embed tiles of the images of this collection (about 16 vectors per image)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


async def run_ingest(arguments: argparse.Namespace) -> int:
    """Ingest and print a summary; return 1 if nothing could be ingested."""
    settings = load_settings()
    logs.configure(settings)
    collection = arguments.collection or settings.default_collection
    with ingest_progress(shown=not arguments.quiet and not arguments.json) as progress:
        summary = await ingest_paths(
            settings, arguments.paths, collection, progress, tiles=arguments.tiles
        )
    if arguments.json:
        terminal.write_json(summary.as_json())
    else:
        print_summary(summary)
    return 1 if summary.nothing_ingested else 0


async def ingest_paths(
    settings: Settings,
    paths: Sequence[str | Path],
    collection: str,
    progress: Callable[[IngestProgress], None],
    *,
    tiles: bool | None = None,
) -> IngestSummary:
    """Ingest paths with the configured models; ``tiles=None`` keeps the setting."""
    inputs = [_parse_input(settings, path) for path in paths]
    async with open_dependencies(settings) as deps:
        return await ingest(
            deps,
            inputs,
            collection,
            progress=progress,
            settings=None if tiles is None else {collection_settings.TILES_SETTING: tiles},
        )


async def ingest(
    deps: Dependencies,
    paths: Sequence[str | Path | IngestInput],
    collection: str,
    *,
    progress: Callable[[IngestProgress], None] = lambda _: None,
    settings: Mapping[str, Any] | None = None,
) -> IngestSummary:
    """Ingest paths into a collection; ``settings`` are those of the collection."""
    return await pipeline.ingest(
        await deps.database.get(),
        deps.blobs,
        await deps.encoder.get(),
        paths,
        collection=collection,
        options=deps.ingest_options,
        progress=progress,
        passage_encoder=await (deps.passage_encoder or deps.encoder).get(),
        ocr_engine=deps.ocr_engine,
        settings=settings,
        capacity=deps.ingest_capacity,
    )


def _parse_input(settings: Settings, path: str | Path) -> str | Path | IngestInput:
    if isinstance(path, Path) or not path.lower().startswith(("https://", "http://")):
        return path
    allowed = allowed_urls(settings)
    if allowed is None:
        raise NotAllowedError(
            f"{shown(path.partition('?')[0])} was not fetched. Set "
            f"{variable('urls.allowed_hosts')} to the allowed hosts."
        )
    return UrlFetcher(allowed).remote_file(path)


@contextmanager
def ingest_progress(*, shown: bool) -> Iterator[Callable[[IngestProgress], None]]:
    """Show a progress bar on stderr; yield the callback that updates it."""
    with terminal.progress_bar(shown=shown) as update_bar:

        def update(progress: IngestProgress) -> None:
            description = "indexing" if progress.stage == "index" else "ingesting"
            rate = f"{progress.files_per_second:.1f} files/s"
            update_bar(description, progress.done, progress.total, rate)

        yield update


def print_summary(summary: IngestSummary) -> None:
    """Print the number of files by outcome, the times and the problems."""
    counts = ("added", "replaced", "updated", "unchanged", "duplicate", "failed")
    outcomes = ", ".join(
        f"{getattr(summary, name)} {name}" for name in counts if getattr(summary, name)
    )
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.stages.items())
    terminal.write_lines(
        f"{summary.collection}: {outcomes or 'no files'}; {summary.images} images and "
        f"{summary.passages} passages in {summary.seconds:.1f} s "
        f"({summary.images_per_second:.1f} images/s)",
        f"time: {times} ({summary.workers} workers; stages overlap); "
        f"memory: {summary.peak_rss_mib:.0f} MiB, worker {summary.worker_peak_rss_mib:.0f} MiB",
    )
    if summary.readings:
        readings = ", ".join(f"{count} {name}" for name, count in summary.readings.items())
        terminal.write_lines(f"text of pages: {readings}")
    for title, noted_by_code in (("failed", summary.failures), ("warning", summary.warnings)):
        for code, noted in noted_by_code.items():
            terminal.write_lines(f"{title}: {code}, {noted.count}")
            terminal.write_lines(*(f"  {name}: {reason}" for name, reason in noted.examples))
