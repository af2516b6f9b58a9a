"""What an ingest prints at its end, and its progress bars."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from sightline.server.cli.library.ingest import ingest_progress
from sightline.server.cli.library.ingest_summary import print_summary
from sightline.storage.ingest.progress import IngestProgress, IngestSummary, IssueSummary
from sightline.storage.machine import available_cores

STAGES = {"discover": 1.0, "decode": 40.0, "ocr": 120.0, "encode": 30.0, "write": 2.0}


def summary(**changes: Any) -> IngestSummary:
    values: dict[str, Any] = {
        "collection": "album",
        "images": 9,
        "passages": 1,
        "readings": {},
        "failures": {},
        "warnings": {},
        "seconds": 80.0,
        "workers": 2,
        "stages": STAGES,
        "peak_rss_mib": 200.0,
        "worker_peak_rss_mib": 100.0,
    }
    return IngestSummary(**values | changes)


def lines_of(capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    print_summary(summary(**changes))
    return capsys.readouterr().out.splitlines()


def test_the_three_slowest_stages_say_what_makes_them_faster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = [line for line in lines_of(capsys) if line.startswith("slow: ")]
    # The times of workers are a sum over two of them.
    assert [line.split(". ")[0] for line in slow] == [
        "slow: ocr, 75% of the time",
        "slow: encode, 38% of the time",
        "slow: decode, 25% of the time",
    ]
    assert "SIGHTLINE_INGEST__OCR=off" in slow[0]
    assert "smaller encoder" in slow[1]


def test_more_workers_are_advised_only_where_there_are_cores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cores = available_cores()
    few = [line for line in lines_of(capsys, workers=cores) if line.startswith("slow: ocr")]
    assert "Use a machine with more cores" in few[0]
    more = lines_of(capsys, workers=0 if cores == 1 else cores - 1) if cores > 1 else []
    assert cores == 1 or any(f"SIGHTLINE_INGEST__WORKERS={cores}" in line for line in more)


def test_a_short_ingest_gets_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [line for line in lines_of(capsys, seconds=3.0) if line.startswith("slow: ")]


def test_skipped_and_failed_files_have_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    failures = {"encrypted": IssueSummary(2, (("a.pdf", "needs a password"),))}
    lines = lines_of(
        capsys, unchanged=3, duplicate=1, failed=2, failures=failures, notes=("a note",)
    )
    assert "skipped: 3 unchanged, already in the collection" in lines
    assert "skipped: 1 duplicate, the same bytes as another file" in lines
    place = next(n for n, line in enumerate(lines) if line.startswith("failed: encrypted, 2. "))
    assert "SIGHTLINE_INGEST__PDF_PASSWORDS" in lines[place]
    assert lines[place + 1] == "  a.pdf: needs a password"
    assert lines[-1] == "note: a note"


def test_each_stage_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "100")
    with ingest_progress(shown=True) as update:
        update(
            IngestProgress(
                stage="files",
                total=10,
                seconds=2.0,
                passed={"check": 9, "decode": 6, "encode": 4},
                added=3,
                unchanged=2,
            )
        )
        update(IngestProgress(stage="done", total=10, seconds=4.0, added=8, unchanged=2))
    bars = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    assert [bar[0] for bar in bars] == ["check", "decode", "encode", "write", "index"]
    assert "8/8" in bars[3]
