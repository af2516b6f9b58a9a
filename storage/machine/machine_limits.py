"""Cores and memory of this process, also by its control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")


def available_cores(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """Return how many cores this process can keep busy, at least one.

    That is the least of the cores that it may run on and the CPU time that its control groups may
    use; a part of a core counts as one.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [
        *_quotas_of_version_1(groups, own_groups),
        *(
            _quota(*text.split())
            for text in _values(groups, own_groups, "", "cpu.max")
            if len(text.split()) == 2
        ),
    ]
    return max(1, math.ceil(min([cores, *quotas])))


def memory_bytes(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> int:
    """Return the memory of the machine, or of a smaller control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [
        int(text)
        for text in (
            *_values(groups, own_groups, "", "memory.max"),
            *_values(groups, own_groups, "memory", "memory.limit_in_bytes"),
        )
        if text.isdecimal()  # else "max"
    ]
    return min([total, *limits])


def _quotas_of_version_1(groups: Path, own_groups: Path) -> Iterator[float]:
    times = _values(groups, own_groups, "cpu", "cpu.cfs_quota_us")
    periods = _values(groups, own_groups, "cpu", "cpu.cfs_period_us")
    for time, period in zip(times, periods, strict=False):
        yield _quota(time, period)


def _quota(time: str, period: str) -> float:
    """Return the cores for microseconds of CPU time in a period of microseconds."""
    try:
        cores = int(time) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return math.inf
    return cores if cores > 0 else math.inf  # -1 is no limit


def _values(groups: Path, own_groups: Path, controller: str, name: str) -> Iterator[str]:
    """Yield a file of each control group of this process, from its own to the root.

    ``controller`` is empty for version 2. In a container, the own group can be the root.
    """
    folder = groups / controller
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        group = folder / path.lstrip("/")
        for each in (group, *(parent for parent in group.parents if parent.is_relative_to(folder))):
            try:
                yield (each / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
