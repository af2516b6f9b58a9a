from __future__ import annotations

from pathlib import Path

import pytest

from sightline.storage.postgres import configuration

MIB = 1 << 20
GIB = 1 << 30


def settings(
    monkeypatch: pytest.MonkeyPatch, memory: int, data: int = 0, cores: int = 2
) -> dict[str, str]:
    """Return the settings for a machine, and a database with ``data`` bytes."""
    monkeypatch.setattr(configuration, "memory_bytes", lambda: memory)
    monkeypatch.setattr(configuration, "available_cores", lambda: cores)
    text = configuration.render(Path("/run/sightline"), 18, data, durable=True)
    pairs = (line.split(" = ") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip("'") for name, value in pairs}


@pytest.mark.parametrize(
    ("memory", "data", "buffers"),
    [
        (512 * MIB, 0, "64MB"),
        (1 * GIB, 0, "64MB"),
        (1 * GIB, 10 * GIB, "256MB"),  # a quarter of the memory
        (4 * GIB, 0, "256MB"),
        (4 * GIB, 300 * MIB, "600MB"),  # twice the data
        (64 * GIB, 0, "512MB"),
        (64 * GIB, 100 * GIB, "8192MB"),
    ],
)
def test_the_cache_fits_the_data_and_the_memory(
    memory: int, data: int, buffers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(monkeypatch, memory, data)["shared_buffers"] == buffers


def test_a_small_machine_gets_small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = (settings(monkeypatch, memory) for memory in (1 * GIB, 32 * GIB))
    names = ("work_mem", "maintenance_work_mem", "effective_cache_size")
    assert [small[name] for name in names] == ["8MB", "64MB", "512MB"]
    assert [large[name] for name in names] == ["16MB", "2048MB", "16384MB"]


@pytest.mark.parametrize(("cores", "workers"), [(1, "0"), (2, "1"), (32, "8")])
def test_parallel_workers_leave_a_core_free(
    cores: int, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = settings(monkeypatch, 4 * GIB, cores=cores)
    assert found["max_parallel_workers"] == workers


def test_the_size_of_a_cluster_is_that_of_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "base" / "5"
    folder.mkdir(parents=True)
    (folder / "1259").write_bytes(bytes(3000))
    (tmp_path / "base" / "1234").write_bytes(bytes(500))
    assert configuration.stored_bytes(tmp_path) == 3500
    assert configuration.stored_bytes(tmp_path / "none") == 0
