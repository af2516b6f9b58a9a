"""Print what an ingest did: outcomes, skipped files, problems and slow stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sightline.server.config import variable
from sightline.server.observability.terminal import write_lines
from sightline.storage.ingest.failed_files import ADVICE
from sightline.storage.ingest.progress import MAX_EXAMPLES, IngestSummary
from sightline.storage.machine import available_cores

#: Shorter ingests need no advice.
MIN_SECONDS: Final = 10.0
#: A stage that takes a smaller share of the time is not worth a change.
_MIN_SHARE: Final = 0.05
_MAX_STAGES: Final = 3
_SKIPPED: Final = {
    "unchanged": "already in the collection",
    "duplicate": "the same bytes as another file",
}


def print_summary(summary: IngestSummary) -> None:
    """Print the number of files by outcome, the times and the problems."""
    write_lines(*_summary_lines(summary))


def _summary_lines(summary: IngestSummary) -> Iterator[str]:
    counts = ("added", "replaced", "updated", *_SKIPPED, "failed")
    outcomes = ", ".join(
        f"{getattr(summary, name)} {name}" for name in counts if getattr(summary, name)
    )
    yield (
        f"{summary.collection}: {outcomes or 'no files'}; {summary.images} images and "
        f"{summary.passages} passages in {summary.seconds:.1f} s "
        f"({summary.images_per_second:.1f} images/s)"
    )
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.stages.items())
    yield (
        f"time: {times} ({summary.workers} workers; stages overlap); "
        f"memory: {summary.peak_rss_mib:.0f} MiB, worker {summary.worker_peak_rss_mib:.0f} MiB"
    )
    yield from slow_stages(summary)
    if summary.readings:
        readings = ", ".join(f"{count} {name}" for name, count in summary.readings.items())
        yield f"text of pages: {readings}"
    if summary.untranscribed_minutes:
        yield (
            f"speech: {summary.untranscribed_minutes:.1f} minutes of sound were not transcribed; "
            f"set {variable('speech.base_url')} or {variable('speech.model')}"
        )
    for name, reason in _SKIPPED.items():
        if count := getattr(summary, name):
            yield f"skipped: {count} {name}, {reason}"
    for code, noted in summary.failures.items():
        yield f"failed: {code}, {noted.count}. {ADVICE.get(code, '')}".rstrip(". ") + "."
        yield from (f"  {name}: {reason}" for name, reason in noted.examples[:MAX_EXAMPLES])
    for code, noted in summary.warnings.items():
        yield f"warning: {code}, {noted.count}"
        yield from (f"  {name}: {reason}" for name, reason in noted.examples[:MAX_EXAMPLES])
    if summary.failed:
        yield f"All failed files with advice: sightline failures --collection {summary.collection}"
    yield from (f"note: {note}" for note in summary.notes)


def slow_stages(summary: IngestSummary) -> Iterator[str]:
    """Yield the three slowest stages of a long ingest with what makes them faster.

    Workers decode, render and read text at the same time, so that their sum is divided.
    """
    if summary.seconds < MIN_SECONDS:
        return
    times = {
        name: seconds / (summary.workers if name in _OF_WORKERS else 1)
        for name, seconds in summary.stages.items()
        if name in _ADVICE
    }
    slowest = sorted(times, key=times.__getitem__, reverse=True)[:_MAX_STAGES]
    for name in slowest:
        share = times[name] / summary.seconds
        if share >= _MIN_SHARE:
            more = f"{_more_workers(summary)} " if name in _OF_WORKERS else ""
            yield f"slow: {name}, {min(share, 1):.0%} of the time. {more}{_ADVICE[name]}".rstrip()


def _more_workers(summary: IngestSummary) -> str:
    if summary.workers < available_cores():
        return f"Use more workers: {variable('ingest.workers')}={available_cores()}."
    return "Use a machine with more cores."


_OF_WORKERS: Final = ("decode", "render", "ocr")
_ADVICE: Final[Mapping[str, str]] = {
    "discover": "Unpack archives first, and copy files from a network to this machine.",
    "decode": "Reduce large pictures first.",
    "render": "",
    "ocr": f"If no text is to be found in pictures, set {variable('ingest.ocr')}=off.",
    "encode": (
        "Use a GPU, a smaller encoder, or the same with --precision int8 (`sightline models "
        "list`), or no --tiles."
    ),
    "passages": (
        f"If {variable('encoder.passage_model')} names a sentence encoder, choose a smaller one, "
        "or 'encoder'."
    ),
    "detect": "Search for fewer phrases (--detect), or use a GPU.",
    "write": "Put the data folder, or Postgres, on a faster disk.",
    "index": "It is built once for each ingest: add more files at once.",
}
