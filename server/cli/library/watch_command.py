"""``sightline watch``: keep a collection like a folder."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.cli.library.ingest import ingest
from sightline.server.cli.library.prune_command import doubt_lines
from sightline.server.config import load_settings
from sightline.server.observability import logs
from sightline.server.observability.terminal import visible_json, write_lines
from sightline.storage.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    LockTimeoutError,
    ModelUnavailableError,
    describe,
    shown,
)
from sightline.storage.ingest.discover.folder_changes import (
    ChangeTracker,
    FolderChanges,
    FolderGoneError,
    scan_folder,
)
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.progress import IngestSummary
from sightline.storage.maintenance.missing_files import MissingFiles, find_missing, forget_files
from sightline.tools.shared.dependencies import Dependencies

_INTERVAL_SECONDS: Final = 2.0
_MIN_INTERVAL_SECONDS: Final = 0.1
#: Scanning takes at most a tenth of the time of one core.
_SCAN_SHARE: Final = 10
_MAX_RETRY_SECONDS: Final = 60.0
_MAX_NAMES: Final = 5
#: What passes without the user: a restart of the database, an ingest that holds the lock.
_TEMPORARY = (DatabaseUnavailableError, LockTimeoutError, ModelUnavailableError, FolderGoneError)


def configure_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--collection", help="created if missing (SIGHTLINE_DEFAULT_COLLECTION)")
    parser.add_argument(
        "--interval",
        type=float,
        default=_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="time between two scans (default 2); large folders are scanned less often",
    )
    parser.add_argument(
        "--keep-missing",
        action="store_true",
        help="do not forget files that were deleted from the folder",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per batch")


async def run_watch(arguments: argparse.Namespace) -> None:
    """Ingest what changes in a folder until Ctrl-C or SIGTERM."""
    settings = load_settings()
    logs.configure(settings, is_command=True)
    root = await asyncio.to_thread(_watched_folder, arguments)
    collection = arguments.collection or settings.default_collection
    watching = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if watching is not None:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, watching.cancel)
    with suppress(asyncio.CancelledError):
        async with open_dependencies(settings) as deps:
            watch = FolderWatch(
                deps,
                root,
                collection,
                keeps_missing=arguments.keep_missing,
                prints_json=arguments.json,
            )
            write_lines(f"Watching {root.given or root.real}. To stop: Ctrl-C", error=True)
            while True:
                seconds = await watch.step(arguments.interval)
                await asyncio.sleep(seconds)
    write_lines("Stopped.", error=True)


def _watched_folder(arguments: argparse.Namespace) -> InputPath:
    """Return the folder. Raises ConfigurationError."""
    folder = Path(os.path.expanduser(arguments.folder))  # noqa: PTH111 - raises no RuntimeError
    if not folder.is_dir():
        raise ConfigurationError(f"{shown(str(folder))} is not a folder. Give an existing folder.")
    if arguments.interval < _MIN_INTERVAL_SECONDS:
        raise ConfigurationError(
            f"--interval is {arguments.interval:g}; use {_MIN_INTERVAL_SECONDS} or more seconds."
        )
    given = os.path.normpath(folder)
    return InputPath("" if given == "." else given, os.path.realpath(folder))


@dataclass
class FolderWatch:
    """Ingests the changes of a folder into a collection, scan by scan."""

    deps: Dependencies
    root: InputPath
    collection: str
    keeps_missing: bool = False
    prints_json: bool = False
    _tracker: ChangeTracker = field(default_factory=ChangeTracker)
    _is_first: bool = True
    _retry_seconds: float = 0.0

    async def step(self, interval_seconds: float = _INTERVAL_SECONDS) -> float:
        """Scan the folder once and ingest its changes; return the seconds to wait.

        After an error that may pass, such as a restart of the database, the next step tries again.
        """
        started = time.perf_counter()
        try:
            scan = await asyncio.to_thread(scan_folder, self.root)
            seconds = time.perf_counter() - started
            changes = self._tracker.update(scan)
            kept: set[str] = set()
            if changes.changed or (changes.gone and not self.keeps_missing):
                kept = await self._apply(changes)
            self._tracker.confirm(changes, kept)
        except _TEMPORARY as error:
            first = self._retry_seconds == 0
            self._retry_seconds = min(
                max(interval_seconds, 2 * self._retry_seconds), _MAX_RETRY_SECONDS
            )
            if first:
                write_lines(f"{describe(error)} Trying again until it works.", error=True)
            return self._retry_seconds
        if self._retry_seconds:
            self._retry_seconds = 0.0
            write_lines("It works again.", error=True)
        return max(interval_seconds, (_SCAN_SHARE - 1) * seconds)

    async def _apply(self, changes: FolderChanges) -> set[str]:
        """Ingest and forget; return the missing files that are not forgotten."""
        summary = missing = None
        forgotten = 0
        if changes.changed:
            summary = await self._ingest(changes)
        if (changes.gone or self._is_first) and not self.keeps_missing:
            # After the ingest: it recognizes a moved file, and keeps its assets.
            database = await self.deps.database.get()
            missing = await find_missing(
                database,
                self.collection,
                within=[self.root.real],
                identify_folder=self._tracker.identify_folder,
            )
            deleted = await forget_files(
                database, self.deps.blobs, missing.collection, missing.deleted
            )
            forgotten = deleted.sources
        self._is_first = False
        self._report(summary, missing, forgotten)
        doubtful = missing.doubtful if missing else ()
        kept = {file.path for each in doubtful for file in each.files}
        return {path for path in changes.gone if f"{self.root.real}/{path}" in kept}

    async def _ingest(self, changes: FolderChanges) -> IngestSummary:
        wanted = {f"file:{self.root.real}/{path}" for path in changes.changed}

        def is_wanted(location: str) -> bool:
            return location.partition("//")[0] in wanted

        return await ingest(
            self.deps, [self.root], self.collection, is_wanted=is_wanted, max_examples=_MAX_NAMES
        )

    def _report(
        self, summary: IngestSummary | None, missing: MissingFiles | None, forgotten: int
    ) -> None:
        """Print one line, or one JSON object, about a batch that changed something."""
        names = ("added", "replaced", "updated", "failed")
        counts = {name: getattr(summary, name) if summary else 0 for name in names}
        counts["forgotten"] = forgotten
        kept = sum(len(each.files) for each in missing.doubtful) if missing else 0
        if not any(counts.values()) and not kept:
            return
        if self.prints_json:
            write_lines(visible_json({"collection": self.collection, **counts, "kept": kept}))
            return
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        write_lines(f"{self.collection}: {listed or 'nothing changed'}")
        write_lines(*_problem_lines(summary), *(doubt_lines(missing) if missing else ()))


def _problem_lines(summary: IngestSummary | None) -> list[str]:
    problems: dict[str, Any] = dict(summary.failures) if summary else {}
    return [
        f"  failed: {name}: {reason}"
        for noted in problems.values()
        for name, reason in noted.examples
    ]
