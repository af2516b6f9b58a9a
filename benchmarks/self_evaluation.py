"""Evaluate retrieval on a synthetic album and write a report.

    python -m benchmarks self_evaluation -- --count 360 --out sightline-eval

The report is that of ``sightline eval``. The queries are described in `benchmarks.synthetic_album`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import synthetic_album
from sightline.server.cli.analysis.eval import add_output_arguments, evaluate_and_write
from sightline.server.cli.library.ingest import ingest_paths, ingest_progress
from sightline.server.config import load_settings
from sightline.server.evaluation.run_file import load_run_file
from sightline.server.observability import logs
from sightline.storage.ingest.collection_settings import TILES_SETTING


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    if options.work is not None:
        await _evaluate(options, options.work)
        return
    with tempfile.TemporaryDirectory(prefix="sightline-eval-") as folder:
        await _evaluate(options, Path(folder))


async def _evaluate(options: argparse.Namespace, work: Path) -> None:
    settings = load_settings(
        data_dir=work / "data",
        database__url=None,
        ingest__ocr="on",
        log__level="warning",
    )
    logs.configure(settings)
    collection, folder = _prepare_album(options, work)
    with ingest_progress(shown=not options.quiet) as progress:
        summary = await ingest_paths(
            settings,
            [folder / synthetic_album.ALBUM],
            collection,
            progress,
            chosen={TILES_SETTING: True} if options.tiles else {},
        )
    failures = [str(each) for issue in summary.failures.values() for each in issue.examples]
    if failures:
        print(f"Failed to ingest: {'; '.join(failures)}", file=sys.stderr)
    lines = load_run_file(folder / synthetic_album.QUERIES)
    await evaluate_and_write(settings, lines, collection, options)


def _prepare_album(options: argparse.Namespace, work: Path) -> tuple[str, Path]:
    """Return collection name and album folder; render a missing album."""
    name = f"{synthetic_album.COLLECTION}-{options.count}-{options.seed}"
    if options.album is not None:
        name = f"{synthetic_album.COLLECTION}-{options.album.resolve().name}"
    if options.tiles:
        name += "-tiles"
    folder = work / name
    if not (folder / synthetic_album.QUERIES).exists():
        shutil.rmtree(folder, ignore_errors=True)  # Left by an interrupted run.
        if options.album is None:
            synthetic_album.render(folder, count=options.count, seed=options.seed)
        else:
            synthetic_album.prepare(options.album, folder)
    return name, folder


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks self_evaluation")
    parser.add_argument("--count", type=int, default=360, help="images to render (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images (%(default)s)")
    parser.add_argument("--album", type=Path, help="use a folder written by `sightline world`")
    parser.add_argument("--tiles", action="store_true", help="also index tiles of the images")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="keep the album and its database here and reuse them in the next run",
    )
    add_output_arguments(parser)
    return parser.parse_args(arguments)
