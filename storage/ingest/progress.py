"""Progress, statistics and summary of an ingest."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["added", "replaced", "updated", "unchanged", "duplicate", "failed"]
Stage = Literal["files", "index", "done"]
#: Stages of a file that is new or changed, before it is written.
FileStage = Literal["check", "decode", "encode"]

MAX_EXAMPLES = 5
_NOTIFY_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCounts:
    """How many files have each outcome."""

    added: int = 0
    replaced: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        ingested = self.added + self.replaced + self.updated
        return ingested + self.unchanged + self.duplicate + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestProgress(OutcomeCounts):
    """The state of a running ingest. Counts are of committed files only.

    ``total`` grows when an archive contains more than one file. ``passed`` are the files that have
    passed a stage.
    """

    stage: Stage
    total: int
    seconds: float
    passed: Mapping[FileStage, int] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """Return the files that need no work."""
        return self.unchanged + self.duplicate

    @property
    def files_per_second(self) -> float:
        return self.done / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of an ingest; failed ones have no content key."""

    name: str
    outcome: Outcome
    content_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class IngestedFile:
    """A file of an ingest with the first ids of its assets, and their number."""

    name: str
    outcome: Outcome
    asset_ids: tuple[str, ...] = ()
    asset_count: int = 0


@dataclass(frozen=True, slots=True)
class IssueSummary:
    """How often an issue occurred, and the first or all cases as (name, reason)."""

    count: int = 0
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSummary(OutcomeCounts):
    """The result of an ingest. ``stages`` are seconds per stage.

    ``files`` are the first ones, as many as were asked for. ``readings`` counts images by the way
    their text was read, as in the column ``asset.reading``. ``untranscribed_minutes`` are those of
    sound that no transcriber read. ``notes`` say what a user should change.

    Stages overlap: ``decode`` is summed over the workers, the others over their own tasks. Memory
    is the peak, in MiB.
    """

    collection: str
    images: int
    passages: int
    readings: Mapping[str, int]
    failures: Mapping[str, IssueSummary]
    warnings: Mapping[str, IssueSummary]
    seconds: float
    workers: int
    stages: Mapping[str, float]
    peak_rss_mib: float
    worker_peak_rss_mib: float
    untranscribed_minutes: float = 0.0
    notes: tuple[str, ...] = ()
    files: tuple[IngestedFile, ...] = ()

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds if self.seconds > 0 else 0.0

    @property
    def nothing_ingested(self) -> bool:
        return self.done == self.failed

    def as_json(self) -> dict[str, Any]:
        values = {"collection": self.collection, **asdict(self)}
        del values["files"]
        for issue in (*values["failures"].values(), *values["warnings"].values()):
            issue["examples"] = [{"name": n, "reason": r} for n, r in issue["examples"]]
        values["stages"] = {name: round(s, 3) for name, s in self.stages.items()}
        for name in ("seconds", "peak_rss_mib", "worker_peak_rss_mib"):
            values[name] = round(values[name], 3)
        return {**values, "images_per_second": round(self.images_per_second, 2)}


@dataclass(slots=True)
class _Cases:
    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    def summary(self) -> IssueSummary:
        return IssueSummary(self.count, tuple(self.examples))


@dataclass(slots=True)
class IngestStats:
    """Counts during an ingest, and notifies the listener.

    Lists the first ``max_files`` files, and the first ``max_examples`` files of each problem; None:
    all.
    """

    collection: str
    listener: Callable[[IngestProgress], None]
    max_files: int = 0
    max_examples: int | None = MAX_EXAMPLES
    total: int = 0
    files: list[ListedFile] = field(default_factory=list)
    counts: dict[Outcome, int] = field(default_factory=dict)
    images: int = 0
    passages: int = 0
    readings: Counter[str] = field(default_factory=Counter)
    stages: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    untranscribed_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    passed: Counter[FileStage] = field(default_factory=Counter)
    _notified: float = 0.0
    _failures: dict[str, _Cases] = field(default_factory=dict)
    _warnings: dict[str, _Cases] = field(default_factory=dict)

    def add_file(self, name: str, outcome: Outcome, content_key: bytes | None = None) -> None:
        """Count a file, and list it if it is one of the first."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.total = max(self.total, sum(self.counts.values()))
        if len(self.files) < self.max_files:
            self.files.append(ListedFile(name, outcome, content_key))

    def fail(self, code: str, name: str, reason: str) -> None:
        """Count a failed file whose failure is recorded."""
        self.add_file(name, "failed")
        self._add_issue(self._failures, code, name, reason)

    def warn(self, code: str, name: str, reason: str) -> None:
        """Add a problem that does not fail its file."""
        self._add_issue(self._warnings, code, name, reason)

    def add_time(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def add_passed(self, stage: FileStage, files: int = 1) -> None:
        """Count files that have passed a stage; notify a few times each second."""
        self.passed[stage] += files
        if time.perf_counter() - self._notified >= _NOTIFY_SECONDS:
            self.notify()

    def notify(self, stage: Stage = "files") -> None:
        self._notified = time.perf_counter()
        seconds = self._notified - self.started
        progress = IngestProgress(
            stage=stage,
            total=self.total,
            seconds=seconds,
            passed=dict(self.passed),
            **self.counts,
        )
        self.listener(progress)

    def summary(
        self, workers: int, worker_peak_rss_kib: int, files: Sequence[IngestedFile]
    ) -> IngestSummary:
        scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return IngestSummary(
            collection=self.collection,
            **self.counts,
            images=self.images,
            passages=self.passages,
            readings=dict(self.readings),
            failures={code: cases.summary() for code, cases in self._failures.items()},
            warnings={code: cases.summary() for code, cases in self._warnings.items()},
            seconds=time.perf_counter() - self.started,
            workers=workers,
            stages=dict(self.stages),
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale,
            worker_peak_rss_mib=worker_peak_rss_kib / scale,
            notes=tuple(self.notes),
            files=tuple(files),
            untranscribed_minutes=round(self.untranscribed_seconds / 60, 2),
        )

    def _add_issue(self, issues: dict[str, _Cases], code: str, name: str, reason: str) -> None:
        cases = issues.setdefault(code, _Cases())
        cases.count += 1
        if self.max_examples is None or len(cases.examples) < self.max_examples:
            cases.examples.append((name, reason))
