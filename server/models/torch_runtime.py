"""Torch helpers: device, precision, memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch

from sightline.storage.errors import ModelError, UnknownNameError
from sightline.storage.interfaces import Vectors

logger = logging.getLogger(__name__)

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def choose_device(device: str) -> torch.device:
    """Return the torch device. ``auto`` is CUDA if available, else the CPU.

    Raises UnknownNameError for a device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        known = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise UnknownNameError("device", device, ["cpu", *known])
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise UnknownNameError("device", device, ["cpu"])
    return chosen


def choose_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision. ``auto`` is fp16 on CUDA, else fp32."""
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    for known in DTYPES:
        if precision == known:
            return known
    raise UnknownNameError("precision", precision, ["auto", *DTYPES])


class MemoryAwareRunner:
    """Runs a model in batches that fit in memory.

    When memory runs out, the batch size is halved and stays so. No other layer splits batches.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._device = device
        self._max_items = 2**31

    @torch.inference_mode()
    def run(self, forward: Callable[[Sequence[Any]], Vectors], items: Sequence[Any]) -> Vectors:
        """Return the concatenated rows of ``forward`` over ``items``.

        Raises ModelError if a single item does not fit in memory.
        """
        rows: list[Vectors] = []
        start = 0
        while start < len(items):
            batch = items[start : start + self._max_items]
            try:
                rows.append(forward(batch))
                start += len(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    msg = f"{self._name} does not fit in the memory of {self._device}"
                    raise ModelError(msg) from error
                self._max_items = len(batch) // 2
                logger.warning(
                    "out of memory on %s; batch size is now %d", self._device, self._max_items
                )
                torch.cuda.empty_cache()
        return np.concatenate(rows)


def to_numpy(features: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return features of any device and precision as float32."""
    array: np.ndarray[Any, Any] = features.float().cpu().numpy()
    return array
