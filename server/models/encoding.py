"""Helpers of every engine, without torch: length of texts, unit vectors, memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import Vectors

#: English text has four.
_MAX_CHARS_PER_TOKEN = 16
_TRIM_INTERVAL_ITEMS = 1024


def cut_text(text: str, max_tokens: int) -> str:
    """Return the characters of a text that a model of ``max_tokens`` may read.

    Tokenizers read the whole text before they cut it, and some take quadratic time on a long word:
    minutes for 100,000 letters.
    """
    return text[: max_tokens * _MAX_CHARS_PER_TOKEN]


def unit_vectors(features: np.ndarray[Any, Any]) -> Vectors:
    """Return float32 rows of length 1. Raises ModelError for zero, inf or NaN."""
    vectors = np.asarray(features, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        msg = "The encoder returned a vector that is zero or not finite. Try precision fp32."
        raise ModelError(msg)
    unit: Vectors = vectors / lengths
    return unit


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
