"""Preprocessing that crashes, hangs or fails like a faulty decoder."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from sightline.storage.interfaces import OcrLine, OcrReading, Pixels
from tests.support.encoders import ColorHistogramEncoder, color_grid

CRASH, HANG, HOG = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def obey_the_colour(image: Image.Image) -> Pixels:
    """Red ends the process, blue never returns, green takes all memory; else as it should be."""
    colour = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
    if colour == CRASH:
        os.kill(os.getpid(), signal.SIGSEGV)
    if colour == HANG:
        signal.pause()
    if colour == HOG:
        bytearray(1 << 40)
    return color_grid(image)


class MisbehavingEncoder(ColorHistogramEncoder):
    """Right but for its preprocessing."""

    @property
    def preprocess(self):  # type: ignore[no-untyped-def]
        return obey_the_colour


def imported_modules(image: Image.Image) -> Pixels:
    """Fails, and says which modules its process has loaded."""
    import sys

    raise RuntimeError(" ".join(sorted({name.split(".")[0] for name in sys.modules})))


def environment(image: Image.Image) -> Pixels:
    """Fails, and says which variables its process sees."""
    raise RuntimeError(" ".join(sorted(os.environ)))


class DangerousReader:
    """Reads the same in every picture but red ones, which end its process or hold it for ever."""

    def __init__(self, does: Literal["crash", "hang", "nothing"]) -> None:
        self._does = does

    @property
    def name(self) -> str:
        return "dangerous"

    def has_text(self, image: Image.Image) -> bool:
        return True

    def for_languages(self, languages: Sequence[str]) -> DangerousReader:
        return self

    def read(self, image: Image.Image, max_seconds: float) -> OcrReading:
        red, green, _ = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
        if red > 2 * green:
            if self._does == "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._does == "hang":
                signal.pause()
        return OcrReading([OcrLine("what stands there", (0.1, 0.1, 0.9, 0.2), 0.9)])
