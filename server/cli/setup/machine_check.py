"""Checks what the machine has: cores, memory, disk and a GPU."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from sightline.storage.machine import available_cores, memory_bytes

_MIB: Final = 1 << 20
_QUERY: Final = ("--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card; ``is_usable`` says whether torch is installed.

    Encoders need it to run there.
    """

    name: str
    memory_mib: int
    is_usable: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use. ``disk_mib`` is free where the data folder is."""

    cores: int
    memory_mib: int
    disk_mib: int
    gpu: Gpu | None

    @property
    def is_fast(self) -> bool:
        """Return whether encoders can run on a GPU."""
        return self.gpu is not None and self.gpu.is_usable

    def describe(self) -> str:
        """Return one line."""
        gpu = "no GPU"
        if self.gpu is not None:
            missing = "" if self.gpu.is_usable else " (pip install 'sightline-mcp[gpu]' to use it)"
            gpu = f"GPU {self.gpu.name}, {self.gpu.memory_mib:,} MiB{missing}"
        return (
            f"{self.cores} core{'s' * (self.cores != 1)}, {self.memory_mib:,} MiB memory, "
            f"{self.disk_mib:,} MiB free disk, {gpu}"
        )

    def as_json(self) -> dict[str, Any]:
        gpu = None
        if self.gpu is not None:
            gpu = {
                "name": self.gpu.name,
                "memory_mib": self.gpu.memory_mib,
                "is_usable": self.gpu.is_usable,
            }
        return {
            "cores": self.cores,
            "memory_mib": self.memory_mib,
            "disk_mib": self.disk_mib,
            "gpu": gpu,
        }


def check_machine(data_dir: Path) -> Machine:
    """Return what the machine has."""
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    return Machine(
        available_cores(),
        memory_bytes() // _MIB,
        shutil.disk_usage(existing).free // _MIB,
        _nvidia_gpu() or _apple_gpu(),
    )


def _nvidia_gpu() -> Gpu | None:
    """Return the first card that the driver lists."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        listed = subprocess.run(  # noqa: S603 - the program of the driver
            [program, *_QUERY],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        ).stdout
        name, memory = listed.splitlines()[0].rsplit(",", 1)
        return Gpu(name.strip(), int(memory), _has_torch())
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # a driver that does not work


def _apple_gpu() -> Gpu | None:
    """Return the GPU of Apple silicon, which shares the memory of the machine."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return None
    return Gpu("Apple silicon", memory_bytes() // _MIB, _has_torch())


def _has_torch() -> bool:
    return find_spec("torch") is not None
