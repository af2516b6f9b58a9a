"""Device, precision and hardware name of a run."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Literal

import torch

from sightline.storage.errors import ConfigurationError, choices

Precision = Literal["auto", "fp32", "bf16"]
_CPUINFO: Final = Path("/proc/cpuinfo")


def pick_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` prefers CUDA."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(f"device {name!r} is not there; use {choices(['auto', 'cpu'])}")
    return torch.device(name)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the precision; ``auto`` is bf16 if the device supports it natively."""
    wanted = precision == "bf16" or (precision == "auto" and _native_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)


def describe(device: torch.device) -> str:
    """Return the name of the CPU with its threads, or of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} {'thread' if threads == 1 else 'threads'}"


def _native_bf16(device: torch.device) -> bool:
    # Without AVX512-BF16, bf16 on a CPU is emulated and several times slower than fp32.
    return device.type == "cuda" or "avx512_bf16" in _cpu_lines()


def _processor() -> str:
    for line in _cpu_lines().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_lines() -> str:
    return _CPUINFO.read_text() if _CPUINFO.exists() else ""
