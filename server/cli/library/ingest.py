"""``sightline ingest``: add files, or try those again that failed."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, get_args

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.cli.library.ingest_summary import print_summary
from sightline.server.cli.library.prune_command import (
    prune_after_ingest,
    prune_as_json,
    prune_lines,
)
from sightline.server.config import Settings, load_settings, variable
from sightline.server.models.ocr.ocr_models import OCR_LANGUAGES, find_models
from sightline.server.observability import logs, terminal
from sightline.server.runtime import allowed_urls
from sightline.storage.errors import ConfigurationError, NotAllowedError, shown
from sightline.storage.files import private_opener
from sightline.storage.ingest import collection_settings, failed_files, pipeline
from sightline.storage.ingest.detect.detect_stage import DETECT_SETTING
from sightline.storage.ingest.discover.input_paths import IngestInput
from sightline.storage.ingest.discover.urls import UrlFetcher
from sightline.storage.ingest.progress import (
    MAX_EXAMPLES,
    FileStage,
    IngestProgress,
    IngestSummary,
)
from sightline.storage.records import collections
from sightline.tools.shared.dependencies import Dependencies


def configure_ingest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="folder, file, pattern such as 'images/*.jpg', archive, e-mail, or https:// URL of a "
        "host in SIGHTLINE_URLS__ALLOWED_HOSTS",
    )
    parser.add_argument("--collection", help="created if missing (SIGHTLINE_DEFAULT_COLLECTION)")
    parser.add_argument(
        "--tiles",
        action=argparse.BooleanOptionalAction,
        help="also embed tiles of the images of this collection (about 16 vectors per image)",
    )
    parser.add_argument(
        "--ocr-languages",
        metavar="NAME,...",
        help="languages that OCR of this collection reads besides those in Latin script, Chinese "
        f"and Japanese: {', '.join(OCR_LANGUAGES)}; 'none' for no other",
    )
    parser.add_argument(
        "--detect",
        metavar="PHRASE,...",
        help="objects that the detector marks on the images of this collection, such as "
        "'vehicle, price tag'; 'none' for no more",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="instead of PATH: try the files again that failed in the collection",
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="afterwards forget the files below PATH that do not exist any more",
    )
    parser.add_argument(
        "--failures",
        type=Path,
        metavar="FILE",
        help="write the files that failed to FILE, one JSON object per line",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary with all problems as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


async def run_ingest(arguments: argparse.Namespace) -> int:
    """Ingest and print a summary; return 1 if nothing could be ingested."""
    settings = load_settings()
    logs.configure(settings, is_command=True)
    collection = arguments.collection or settings.default_collection
    if bool(arguments.paths) == arguments.retry_failed:
        raise ConfigurationError("Give the paths to ingest, or --retry-failed without paths.")
    if arguments.prune and arguments.retry_failed:
        raise ConfigurationError("--prune is for the paths of an ingest, not for --retry-failed.")
    chosen = _collection_settings(arguments)
    with (
        _open_report(arguments.failures) as report,
        ingest_progress(shown=not arguments.quiet and not arguments.json) as progress,
    ):
        if arguments.retry_failed:
            summary = await _retry(settings, collection, progress, chosen=chosen)
        else:
            summary = await ingest_paths(
                settings,
                arguments.paths,
                collection,
                progress,
                chosen=chosen,
                max_examples=None,
            )
        report.writelines(_failure_lines(summary))
    printed = summary.as_json()
    if not arguments.json:
        print_summary(summary)
    has_doubts = False
    if arguments.prune:
        folders = [each for each in arguments.paths if not _is_url(each)]
        missing, deleted = await prune_after_ingest(settings, summary.collection, folders)
        printed["pruned"] = prune_as_json(missing, missing.deleted, deleted)
        has_doubts = bool(missing.doubtful)
        if not arguments.json:
            terminal.write_lines(*prune_lines(missing, deleted))
    if arguments.json:
        terminal.write_json(printed)
    if arguments.retry_failed and not summary.done:  # nothing had failed
        return 0
    return 1 if summary.nothing_ingested or has_doubts else 0


async def ingest_paths(
    settings: Settings,
    paths: Sequence[str | Path],
    collection: str,
    progress: Callable[[IngestProgress], None],
    *,
    chosen: Mapping[str, Any] | None = None,
    max_examples: int | None = MAX_EXAMPLES,
) -> IngestSummary:
    """Ingest paths with the configured models.

    ``chosen`` are settings of the collection to change.
    """
    inputs = [_parse_input(settings, path) for path in paths]
    async with open_dependencies(settings) as deps:
        return await ingest(
            deps,
            inputs,
            collection,
            progress=progress,
            settings=chosen,
            max_examples=max_examples,
        )


async def _retry(
    settings: Settings,
    collection: str,
    progress: Callable[[IngestProgress], None],
    *,
    chosen: Mapping[str, Any] | None,
) -> IngestSummary:
    """Try the failed files of a collection again; forget those that are gone."""

    def open_url(url: str) -> IngestInput | None:
        try:
            return _parse_url(settings, url)
        except NotAllowedError as error:
            terminal.write_lines(str(error), error=True)
            return None

    async with open_dependencies(settings) as deps:
        database = await deps.database.get()
        async with database.connection() as connection:
            name = (await collections.get(connection, collection)).name
            failed = await failed_files.failed_files(connection, name)
        plan = failed_files.plan_retry(failed, open_url)
        for each in plan.kept:
            if not each.is_url:
                message = f"{each.name}: was uploaded, and its bytes were not kept. Add it again."
                terminal.write_lines(message, error=True)
        for each in plan.gone:
            terminal.write_lines(f"{each.name}: does not exist any more", error=True)
        summary = await ingest(
            deps,
            plan.inputs,
            name,
            progress=progress,
            settings=chosen,
            max_examples=None,
            is_wanted=plan.is_wanted,
        )
        kept = {each.id for each in plan.kept}
        async with database.write_connection() as connection:
            tried = [each.id for each in failed if each.id not in kept]
            await failed_files.forget_failures(connection, tried)
        return summary


def _collection_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the collection that the command changes."""
    chosen: dict[str, Any] = {}
    if arguments.tiles is not None:
        chosen[collection_settings.TILES_SETTING] = arguments.tiles
    if arguments.ocr_languages is not None:
        languages = chosen_languages(arguments.ocr_languages)
        chosen[collection_settings.OCR_LANGUAGES_SETTING] = languages
    if arguments.detect is not None:
        phrases = [each.strip() for each in arguments.detect.split(",")]
        chosen[DETECT_SETTING] = [] if phrases == ["none"] else [each for each in phrases if each]
    return chosen


def chosen_languages(text: str) -> list[str]:
    """Return the OCR languages of an option. Raises ConfigurationError."""
    names = [name.strip() for name in text.split(",")]
    languages = [] if names == ["none"] else [name for name in names if name]
    find_models(languages, load_settings().ingest.ocr_models)
    return languages


def _open_report(path: Path | None) -> IO[str]:
    """Open the file for failures before the ingest. Raises ConfigurationError."""
    if path is None:
        return io.StringIO()
    try:
        return open(path, "w", encoding="utf-8", opener=private_opener)
    except OSError as error:
        raise ConfigurationError(f"--failures: {shown(str(path))}: {error.strerror}") from error


def _failure_lines(summary: IngestSummary) -> Iterator[str]:
    for code, noted in summary.failures.items():
        advice = failed_files.ADVICE.get(code, "")
        for name, reason in noted.examples:
            line = {"name": name, "code": code, "reason": reason, "advice": advice}
            yield terminal.visible_json(line) + "\n"


async def ingest(
    deps: Dependencies,
    paths: Sequence[str | Path | IngestInput],
    collection: str,
    *,
    progress: Callable[[IngestProgress], None] = lambda _: None,
    settings: Mapping[str, Any] | None = None,
    max_examples: int | None = MAX_EXAMPLES,
    is_wanted: Callable[[str], bool] | None = None,
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
        transcriber=deps.transcriber,
        detector=deps.detector,
        settings=settings,
        capacity=deps.ingest_capacity,
        max_examples=max_examples,
        is_wanted=is_wanted,
    )


def _parse_input(settings: Settings, path: str | Path) -> str | Path | IngestInput:
    return path if isinstance(path, Path) or not _is_url(path) else _parse_url(settings, path)


def _is_url(path: str) -> bool:
    return path.lower().startswith(("https://", "http://"))


def _parse_url(settings: Settings, url: str) -> IngestInput:
    """Return a URL as input. Raises NotAllowedError."""
    allowed = allowed_urls(settings)
    if allowed is None:
        raise NotAllowedError(
            f"{shown(url.partition('?')[0])} was not fetched. Set "
            f"{variable('urls.allowed_hosts')} to the allowed hosts."
        )
    return UrlFetcher(allowed).remote_file(url)


@contextmanager
def ingest_progress(*, shown: bool) -> Iterator[Callable[[IngestProgress], None]]:
    """Show a progress bar for each stage; yield the callback that updates them."""
    with terminal.progress_bar(shown=shown) as update_bar:

        def update(progress: IngestProgress) -> None:
            total = progress.total
            new = max(total - progress.skipped, 0)
            for stage in get_args(FileStage):
                done = min(progress.passed.get(stage, 0), total)
                update_bar(stage, done, total if stage == "check" else new, "")
            written = progress.done - progress.skipped
            update_bar("write", written, new, f"{progress.files_per_second:.1f} files/s")
            if progress.stage != "files":
                is_done = progress.stage == "done"
                update_bar("index", int(is_done), 1, "")

        yield update
