"""The largest memory of the process of a test (Linux)."""

from __future__ import annotations

import sys
from pathlib import Path


class PeakMemory:
    """Growth of the largest memory of this process, in which the server runs."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        self._start = self._peak()

    def bytes(self) -> int:
        return self._peak() - self._start

    @staticmethod
    def _peak() -> int:
        if sys.platform != "linux":
            return 0
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
