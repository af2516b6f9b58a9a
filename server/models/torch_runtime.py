"""Torch helpers: device, precision, memory, unit vectors."""

from __future__ import annotations

import ctypes
import logging
import sys
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
#: English text has four.
_MAX_CHARS_PER_TOKEN = 16
_TRIM_INTERVAL_ITEMS = 1024


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


def cut_text(text: str, max_tokens: int) -> str:
    """Return the characters of a text that a model of ``max_tokens`` may read.

    Tokenizers read the whole text before they cut it, and some take quadratic time on a long word:
    minutes for 100,000 letters.
    """
    return text[: max_tokens * _MAX_CHARS_PER_TOKEN]


class HeapTrimmer:
    """Returns free heap memory every 1,024 encoded items. Needs glibc.

    Batches of different sizes fragment the heap of the C library. Without trimming, a long ingest
    or a busy server held three times the memory that its model needs.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._malloc_trim = getattr(library, "malloc_trim", None)
        self._items = 0

    def count(self, items: int) -> None:
        """Add ``items`` to the counter and trim the heap when it is due."""
        self._items += items
        if self._items >= _TRIM_INTERVAL_ITEMS:
            self._items = 0
            if self._malloc_trim is not None:
                self._malloc_trim(0)


def unit_vectors(features: torch.Tensor) -> Vectors:
    """Return float32 rows of length 1. Raises ModelError for zero, inf or NaN."""
    vectors = features.float()
    lengths = vectors.norm(dim=-1, keepdim=True)
    if not bool(torch.isfinite(lengths).all()) or not bool((lengths > 0).all()):
        msg = "The encoder returned a vector that is zero or not finite. Try precision fp32."
        raise ModelError(msg)
    unit: Vectors = (vectors / lengths).cpu().numpy()
    return unit
