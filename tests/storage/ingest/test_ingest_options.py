"""The number and the size of worker processes fit the machine."""

from __future__ import annotations

import pytest

from sightline.storage.ingest import ingest_options
from sightline.storage.ingest.ingest_options import IngestOptions

MIB = 1 << 20


def on_machine(monkeypatch: pytest.MonkeyPatch, mebibytes: int, cores: int) -> None:
    monkeypatch.setattr(ingest_options, "memory_bytes", lambda: mebibytes * MIB)
    monkeypatch.setattr(ingest_options, "available_cores", lambda: cores)


@pytest.mark.parametrize(
    ("mebibytes", "cores", "slots", "of_one_ingest"),
    [
        (512, 2, 1, 1),
        (1024, 2, 1, 1),
        (2048, 1, 2, 1),
        (2048, 2, 2, 2),
        (4096, 16, 11, 11),
        (32768, 16, 16, 16),
    ],
)
def test_workers_fit_cores_and_memory(
    mebibytes: int, cores: int, slots: int, of_one_ingest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, mebibytes, cores)
    options = IngestOptions()
    assert (options.worker_slots, options.worker_count) == (slots, of_one_ingest)
    chosen = IngestOptions(workers=5)
    assert (chosen.worker_slots, chosen.worker_count) == (5, 5)


@pytest.mark.parametrize(
    ("mebibytes", "setting", "limit"),
    [(1024, 4096, 1536), (2048, 4096, 2048), (2048, 700, 700), (32768, 4096, 4096)],
)
def test_a_worker_may_not_use_more_than_the_machine_has(
    mebibytes: int, setting: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_machine(monkeypatch, mebibytes, 2)
    assert IngestOptions(worker_memory_mib=setting).worker_limit_mib == limit
