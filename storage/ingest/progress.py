"""What an ingest says of itself: while it runs, and at its end."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["added", "replaced", "updated", "unchanged", "duplicate", "failed"]
Stage = Literal["files", "index", "done"]

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of an ingest. All counts are of files, and of what is committed.

    ``total`` grows when an archive turns out to hold more than one file.
    """

    stage: Stage
    total: int
    seconds: float
    added: int = 0
    replaced: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Files that are dealt with."""
        counted = self.added + self.replaced + self.updated
        return counted + self.unchanged + self.duplicate + self.failed

    @property
    def files_per_second(self) -> float:
        """Since the start."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before there is one."""
        rate = self.files_per_second
        return max(0, self.total - self.done) / rate if rate else None


@dataclass(frozen=True, slots=True)
class Noted:
    """How often something went wrong, and the first cases: name and reason."""

    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What an ingest did. ``stages`` is where the time went, in seconds.

    The stages overlap: ``read_decode`` is summed over the worker processes, the others are what
    their own part of the pipeline spent. Memory is in MiB, the largest that it was.
    """

    collection: str
    added: int
    replaced: int
    updated: int
    unchanged: int
    duplicate: int
    failed: int
    pictures: int
    passages: int
    failures: Mapping[str, Noted]
    problems: Mapping[str, Noted]
    seconds: float
    workers: int
    stages: Mapping[str, float]
    peak_rss_mib: float
    worker_peak_rss_mib: float

    @property
    def pictures_per_second(self) -> float:
        """Pictures written, over the whole time."""
        return self.pictures / self.seconds if self.seconds > 0 else 0.0

    @property
    def nothing_ingested(self) -> bool:
        """Whether not one file is in the collection after this."""
        kept = self.added + self.replaced + self.updated + self.unchanged + self.duplicate
        return kept == 0

    def as_json(self) -> dict[str, Any]:
        """For scripts: plain values only."""
        values = asdict(self)
        for name in ("failures", "problems"):
            values[name] = {
                code: {
                    "count": noted.count,
                    "examples": [{"name": n, "reason": r} for n, r in noted.examples],
                }
                for code, noted in getattr(self, name).items()
            }
        values["stages"] = {name: round(s, 3) for name, s in self.stages.items()}
        for name in ("seconds", "peak_rss_mib", "worker_peak_rss_mib"):
            values[name] = round(values[name], 3)
        return {**values, "pictures_per_second": round(self.pictures_per_second, 2)}


@dataclass(slots=True)
class Tally:
    """Counts as an ingest goes, and tells its listener."""

    collection: str
    listener: Callable[[Progress], None]
    total: int = 0
    counts: dict[Outcome, int] = field(default_factory=dict)
    pictures: int = 0
    passages: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    _failures: dict[str, Noted] = field(default_factory=dict)
    _problems: dict[str, Noted] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        """One file more is dealt with, for good."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.total = max(self.total, sum(self.counts.values()))

    def fail(self, code: str, name: str, reason: str) -> None:
        """One file has failed, and that is recorded."""
        self.count("failed")
        _note(self._failures, code, name, reason)

    def problem(self, code: str, name: str, reason: str) -> None:
        """Something is wrong that costs no file."""
        _note(self._problems, code, name, reason)

    def spend(self, stage: str, seconds: float) -> None:
        """Account for time."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def tell(self, stage: Stage = "files") -> None:
        """Let the listener know."""
        seconds = time.perf_counter() - self.started
        self.listener(Progress(stage, self.total, seconds, **self.counts))

    def summary(self, workers: int, worker_peak_kib: int) -> Summary:
        """The end."""
        counts = {o: self.counts.get(o, 0) for o in Progress.__dataclass_fields__ if o in _OUTCOMES}
        scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return Summary(
            collection=self.collection,
            **counts,
            pictures=self.pictures,
            passages=self.passages,
            failures=dict(self._failures),
            problems=dict(self._problems),
            seconds=time.perf_counter() - self.started,
            workers=workers,
            stages=dict(self.stages),
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale,
            worker_peak_rss_mib=worker_peak_kib / scale,
        )


_OUTCOMES: tuple[Outcome, ...] = (
    "added", "replaced", "updated", "unchanged", "duplicate", "failed",
)  # fmt: skip


def _note(noted: dict[str, Noted], code: str, name: str, reason: str) -> None:
    before = noted.get(code, Noted(0, ()))
    more = ((name, reason),) if len(before.examples) < EXAMPLES else ()
    noted[code] = Noted(before.count + 1, before.examples + more)
