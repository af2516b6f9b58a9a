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

MAX_EXAMPLES = 5


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

    ``total`` grows when an archive contains more than one file.
    """

    stage: Stage
    total: int
    seconds: float

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
    """How often an issue occurred, and the first cases as (name, reason)."""

    count: int = 0
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSummary(OutcomeCounts):
    """The result of an ingest. ``stages`` are seconds per stage.

    ``files`` are the first ones, as many as were asked for. ``readings`` counts images by the way
    their text was read, as in the column ``asset.reading``.

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
class IngestStats:
    """Counts during an ingest, and notifies the listener.

    Lists the first ``max_files`` files.
    """

    collection: str
    listener: Callable[[IngestProgress], None]
    max_files: int = 0
    total: int = 0
    files: list[ListedFile] = field(default_factory=list)
    counts: dict[Outcome, int] = field(default_factory=dict)
    images: int = 0
    passages: int = 0
    readings: Counter[str] = field(default_factory=Counter)
    stages: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    _failures: dict[str, IssueSummary] = field(default_factory=dict)
    _warnings: dict[str, IssueSummary] = field(default_factory=dict)

    def add_file(self, name: str, outcome: Outcome, content_key: bytes | None = None) -> None:
        """Count a file, and list it if it is one of the first."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.total = max(self.total, sum(self.counts.values()))
        if len(self.files) < self.max_files:
            self.files.append(ListedFile(name, outcome, content_key))

    def fail(self, code: str, name: str, reason: str) -> None:
        """Count a failed file whose failure is recorded."""
        self.add_file(name, "failed")
        _add_issue(self._failures, code, name, reason)

    def warn(self, code: str, name: str, reason: str) -> None:
        """Add a problem that does not fail its file."""
        _add_issue(self._warnings, code, name, reason)

    def add_time(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def notify(self, stage: Stage = "files") -> None:
        seconds = time.perf_counter() - self.started
        self.listener(IngestProgress(stage=stage, total=self.total, seconds=seconds, **self.counts))

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
            failures=dict(self._failures),
            warnings=dict(self._warnings),
            seconds=time.perf_counter() - self.started,
            workers=workers,
            stages=dict(self.stages),
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale,
            worker_peak_rss_mib=worker_peak_rss_kib / scale,
            files=tuple(files),
        )


def _add_issue(issues: dict[str, IssueSummary], code: str, name: str, reason: str) -> None:
    issue = issues.get(code, IssueSummary())
    more = ((name, reason),) if len(issue.examples) < MAX_EXAMPLES else ()
    issues[code] = IssueSummary(issue.count + 1, issue.examples + more)
