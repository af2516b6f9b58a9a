"""``sightline ingest``: add images, documents and text files to a collection."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config import Settings, load_settings, variable
from sightline.storage.errors import NotAllowedError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from sightline.storage.ingest.discover.input_paths import RemoteFile
    from sightline.storage.ingest.progress import IngestProgress, IngestSummary

HELP = "add images, documents and text files to a collection"


def configure(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> int:
    """Ingest and print a summary; return 1 if nothing could be ingested."""
    from rich.console import Console

    from sightline.server.observability import logs

    settings = load_settings()
    logs.configure(settings)
    console = Console(stderr=True)
    quiet = arguments.quiet or arguments.json
    collection = arguments.collection or settings.default_collection
    with progress_bar(console, shown=not quiet) as progress:
        summary = asyncio.run(
            ingest_paths(settings, arguments.paths, collection, progress, tiles=arguments.tiles)
        )
    if arguments.json:
        json.dump(summary.as_json(), sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    else:
        print_summary(summary, Console())
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
    from sightline.server.cli import cli_context
    from sightline.storage.ingest.pipeline import TILES_SETTING

    inputs = [_parse_input(settings, path) for path in paths]
    async with cli_context.open_dependencies(settings) as deps:
        return await cli_context.ingest(
            deps,
            inputs,
            collection,
            progress=progress,
            settings=None if tiles is None else {TILES_SETTING: tiles},
        )


def _parse_input(settings: Settings, path: str | Path) -> str | Path | RemoteFile:
    if isinstance(path, Path) or not path.lower().startswith(("https://", "http://")):
        return path
    from sightline.server.runtime import allowed_urls
    from sightline.storage.ingest.discover.urls import UrlFetcher

    allowed = allowed_urls(settings)
    if allowed is None:
        raise NotAllowedError(
            f"{shown(path.partition('?')[0])} was not fetched. Set "
            f"{variable('urls.allowed_hosts')} to the allowed hosts."
        )
    return UrlFetcher(allowed).remote_file(path)


@contextmanager
def progress_bar(console: Console, *, shown: bool) -> Iterator[Callable[[IngestProgress], None]]:
    """Show a progress bar; yield the callback that updates it."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task("opening", total=None, rate="")

        def update(progress: IngestProgress) -> None:
            bar.update(
                task,
                description="indexing" if progress.stage == "index" else "ingesting",
                total=progress.total,
                completed=progress.done,
                rate=f"{progress.files_per_second:.1f} files/s",
            )

        yield update


def print_summary(summary: IngestSummary, console: Console) -> None:
    """Print the number of files by outcome, the times and the problems."""
    from rich.text import Text

    counts = ("added", "replaced", "updated", "unchanged", "duplicate", "failed")
    outcomes = ", ".join(
        f"{getattr(summary, name)} {name}" for name in counts if getattr(summary, name)
    )
    console.print(
        Text(
            f"{summary.collection}: {outcomes or 'no files'}; {summary.images} images and "
            f"{summary.passages} passages in {summary.seconds:.1f} s "
            f"({summary.images_per_second:.1f} images/s)"
        )
    )
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.stages.items())
    console.print(
        Text(
            f"time: {times} ({summary.workers} workers; stages overlap); "
            f"memory: {summary.peak_rss_mib:.0f} MiB, worker {summary.worker_peak_rss_mib:.0f} MiB"
        )
    )
    for title, noted_by_code in (("failed", summary.failures), ("warning", summary.warnings)):
        for code, noted in noted_by_code.items():
            console.print(Text(f"{title}: {code}, {noted.count}"))
            for name, reason in noted.examples:
                console.print(Text(f"  {name}: {reason}"))
