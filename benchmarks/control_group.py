"""Limit the memory of commands with a control group of Linux, and watch what they use."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_ROOT: Final = Path("/sys/fs/cgroup")
_SAMPLE_SECONDS: Final = 0.1
_MIB: Final = 1 << 20


class ControlGroup:
    """A new control group. Needs root, and Linux.

    Use it as a context manager; all its processes must have ended at the end.
    """

    def __init__(self, max_mebibytes: int) -> None:
        name = f"sightline-bench-{os.getpid()}-{max_mebibytes}"
        if (_ROOT / "cgroup.controllers").exists():
            self.version, self._folder = 2, _ROOT / name
            limits = {"memory.max": max_mebibytes * _MIB, "memory.swap.max": 0}
        else:
            self.version, self._folder = 1, _ROOT / "memory" / name
            bytes_ = max_mebibytes * _MIB
            limits = {"memory.limit_in_bytes": bytes_, "memory.memsw.limit_in_bytes": bytes_}
        self._folder.mkdir()
        for file, value in limits.items():
            with suppress(FileNotFoundError):  # a kernel without swap
                (self._folder / file).write_text(str(value), encoding="ascii")
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        #: Memory that the kernel cannot take back: private and shared, without files.
        self.peak_mebibytes = 0.0

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._sampler.join()
        self._folder.rmdir()

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs in the group, with all its children."""
        join = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        return ["sh", "-c", join, str(self._folder), *command]

    @contextmanager
    def peak(self) -> Iterator[list[float]]:
        """Yield a list which then has the peak of the block, in MiB."""
        self.peak_mebibytes = 0.0
        peaks: list[float] = []
        yield peaks
        peaks.append(self.peak_mebibytes)

    @property
    def killed(self) -> int:
        """Return how many processes were killed for lack of memory."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        return _table(self._folder / file)["oom_kill"]

    def _sample(self) -> None:
        names = ("anon", "shmem") if self.version == 2 else ("total_rss", "total_shmem")
        while not self._stop.wait(_SAMPLE_SECONDS):
            values = _table(self._folder / "memory.stat")
            used = sum(values[name] for name in names) / _MIB
            self.peak_mebibytes = max(self.peak_mebibytes, used)


def _table(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value in lines}
