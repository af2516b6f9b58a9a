"""``sightline ingest``: pictures, documents and text into a collection."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.config.settings import Settings, load, variable
from sightline.storage.errors import NotAllowedError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from sightline.storage.ingest.discover.discovered_file import Remote
    from sightline.storage.ingest.progress import Progress, Summary

HELP = "put pictures, documents and text files into a collection"

#: How long the command waits for Postgres and the encoder: a person can interrupt it.
_PATIENCE_SECONDS = 600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folders, files, patterns such as 'pics/*.jpg', .zip and .tar archives, and https:// "
        "addresses of the hosts in SIGHTLINE_ALLOWED_URL_HOSTS",
    )
    parser.add_argument("--collection", help="made if there is none (SIGHTLINE_DEFAULT_COLLECTION)")
    parser.add_argument(
        "--tiles",
        action=argparse.BooleanOptionalAction,
        help="from now on, search the collection's pictures by their parts as well (or no more); "
        "some 16 vectors a picture in place of one",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Ingest and print a summary; exit code 1 only when nothing could be ingested."""
    from rich.console import Console

    from sightline.server.observability import logs

    settings = load(loading_wait_seconds=_PATIENCE_SECONDS)
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
    progress: Callable[[Progress], None],
    *,
    tiles: bool | None = None,
) -> Summary:
    """Open what the settings name, ingest, close. ``tiles`` of None is what the collection says."""
    from sightline.server.cli import cli_context
    from sightline.storage.ingest.store.tile_settings import SETTING

    given = [_given(settings, path) for path in paths]
    async with cli_context.opened(settings) as deps:
        return await cli_context.ingest(
            deps,
            given,
            collection,
            progress=progress,
            settings=None if tiles is None else {SETTING: tiles},
        )


def _given(settings: Settings, path: str | Path) -> str | Path | Remote:
    if isinstance(path, Path) or not path.lower().startswith(("https://", "http://")):
        return path
    from sightline.server.config.option_mapping import allowed_urls
    from sightline.storage.ingest.discover.urls import Urls

    allowed = allowed_urls(settings)
    if allowed is None:
        raise NotAllowedError(
            f"{shown(path.partition('?')[0])} was not fetched: set "
            f"{variable('allowed_url_hosts')} to the hosts that files may be fetched from"
        )
    return Urls(allowed).remote(path)


@contextmanager
def progress_bar(console: Console, *, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with rate and time left; what it yields is told of progress."""
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

        def tell(progress: Progress) -> None:
            bar.update(
                task,
                description="indexing" if progress.stage == "index" else "ingesting",
                total=progress.total,
                completed=progress.done,
                rate=f"{progress.files_per_second:.1f} files/s",
            )

        yield tell


def print_summary(summary: Summary, console: Console) -> None:
    """What became of the files, and why some failed."""
    from rich.text import Text

    counts = ("added", "replaced", "updated", "unchanged", "duplicate", "failed")
    said = ", ".join(
        f"{getattr(summary, name)} {name}" for name in counts if getattr(summary, name)
    )
    console.print(
        Text(
            f"{summary.collection}: {said or 'no files'}; {summary.pictures} pictures and "
            f"{summary.passages} passages in {summary.seconds:.1f} s "
            f"({summary.pictures_per_second:.1f} pictures/s)"
        )
    )
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.stages.items())
    console.print(
        Text(
            f"time: {spent} ({summary.workers} workers; stages overlap); "
            f"memory: {summary.peak_rss_mib:.0f} MiB, worker {summary.worker_peak_rss_mib:.0f} MiB"
        )
    )
    for title, noted_by_code in (("failed", summary.failures), ("noticed", summary.problems)):
        for code, noted in noted_by_code.items():
            console.print(Text(f"{title}: {code}, {noted.count}"))
            for name, reason in noted.examples:
                console.print(Text(f"  {name}: {reason}"))
