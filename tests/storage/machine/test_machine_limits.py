from __future__ import annotations

import os
from pathlib import Path

import pytest

from sightline.storage.machine import available_cores, memory_bytes

MIB = 1 << 20
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Groups:
    """Files of control groups, as the kernel shows them to a process."""

    def __init__(self, folder: Path, own: str) -> None:
        self.root, self.own = folder / "cgroup", folder / "own"
        self.own.write_text(own)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    @property
    def memory(self) -> int:
        return memory_bytes(self.root, self.own)

    @property
    def cores(self) -> int:
        return available_cores(self.root, self.own)


@pytest.fixture
def second(tmp_path: Path) -> Groups:
    """A service of systemd, with version 2."""
    return Groups(tmp_path, "0::/system.slice/sightline.service\n")


@pytest.fixture
def first(tmp_path: Path) -> Groups:
    """A group inside of a container, with version 1."""
    return Groups(tmp_path, "4:memory:/pod/own\n3:cpuset:/\n2:cpu,cpuacct:/pod/own\n0::/\n")


def test_without_a_limit_it_is_the_machine(second: Groups) -> None:
    second.write("system.slice/sightline.service/memory.max", "max")
    second.write("system.slice/sightline.service/cpu.max", "max 100000")
    assert second.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert second.cores == CORES


def test_the_smallest_limit_of_a_group_and_its_parents_counts(second: Groups) -> None:
    second.write("memory.max", str(800 * MIB))
    second.write("system.slice/memory.max", str(300 * MIB))
    second.write("system.slice/sightline.service/memory.max", str(500 * MIB))
    assert second.memory == 300 * MIB


def test_the_root_counts_where_a_container_hides_the_path(second: Groups) -> None:
    second.write("memory.max", str(256 * MIB))
    second.write("cpu.max", "50000 100000")
    assert second.memory == 256 * MIB
    assert second.cores == 1


def test_a_part_of_a_core_counts_as_one(second: Groups) -> None:
    second.write("system.slice/cpu.max", "110000 100000")
    assert second.cores == min(2, CORES)


def test_limits_of_version_1_count(first: Groups) -> None:
    first.write("memory/pod/own/memory.limit_in_bytes", str(1 << 62))
    first.write("memory/pod/memory.limit_in_bytes", str(200 * MIB))
    first.write("cpu/pod/own/cpu.cfs_quota_us", "-1")
    first.write("cpu/pod/own/cpu.cfs_period_us", "100000")
    first.write("cpu/pod/cpu.cfs_quota_us", "70000")
    first.write("cpu/pod/cpu.cfs_period_us", "100000")
    assert first.memory == 200 * MIB
    assert first.cores == 1


def test_systems_without_control_groups_have_no_limit(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "none", tmp_path / "none") == CORES
    assert memory_bytes(tmp_path / "none", tmp_path / "none") > 0
